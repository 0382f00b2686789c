use std::path::Path;

use platform::chance::SeededRng;

use super::*;

const CLIENT: &str = r#"
    [[controller]]
    slug = "nablus-sweets"
    name = "Nablus Sweets"
    regime = "gdpr"
    zone = "Asia/Hebron"
    country = "PS"
    issuer = "https://nablus-sweets.example"

    [[system]]
    controller = "nablus-sweets"
    slug = "crm"
    url = "https://crm.nablus-sweets.example/dsr"
"#;

fn check(text: &str) -> Result<Changes, Vec<String>> {
    let file = File::parse(text, Path::new("t.toml")).unwrap();
    let context = Context {
        directory: &Directory::default(),
        now: Timestamp::from_second(1_800_000_000).unwrap(),
        rng: &SeededRng::new(42),
        stored_secrets: &|_| None,
        stored_contact: &|_, _| None,
    };
    diff(file, &context).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn what_is_new_gets_ids_a_secret_and_an_instruction() {
    let changes = check(CLIENT).unwrap();
    let lines: Vec<String> = changes.lines.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["+ controller nablus-sweets", "+ system nablus-sweets/crm"]);
    assert!(changes.systems[0].1[0].expose().starts_with("whsec_"));
    assert_eq!(changes.systems[0].0.controller, changes.controllers[0].0.id);
    assert_eq!(changes.instructions[0].mode, InstructionMode::ForwardOnly);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = CLIENT.replace("gdpr", "atlantis").replace("https://crm", "ftp://crm");
    let binding = "\n[[binding]]\ncontroller = \"nobody\"\nproduct = \"p\"\nchannel = \"web\"\naccount = \"1\"\n";
    let faults = check(&(text + binding)).unwrap_err();
    assert!(
        faults[0].starts_with("binding web 1: no controller has the slug `nobody`") || faults.len() >= 3,
        "{faults:?}"
    );
    assert!(
        faults
            .iter()
            .any(|fault| fault.starts_with("controller nablus-sweets:")),
        "{faults:?}"
    );
}

#[test]
fn a_decline_belongs_to_one_law() {
    let instruction =
        "\n[[instruction]]\ncontroller = \"nablus-sweets\"\nmode = \"decline_with_notice\"\napprover = \"a\"\n";
    let faults = check(&format!("{CLIENT}{instruction}")).unwrap_err();
    assert!(faults[0].contains("under `ccpa` only"), "{faults:?}");
    let under_ccpa = CLIENT.replace("gdpr", "ccpa");
    assert!(check(&format!("{under_ccpa}{instruction}")).is_ok());
}

#[test]
fn a_key_that_was_never_registered_cannot_end() {
    let key = "\n[[key]]\ncontroller = \"nablus-sweets\"\nstate = \"retired\"\n\
               jwk = { kty = \"OKP\", crv = \"Ed25519\", x = \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\" }\n";
    let faults = check(&format!("{CLIENT}{key}")).unwrap_err();
    assert!(faults[0].contains("never registered"), "{faults:?}");
    let changes = check(&format!("{CLIENT}{}", key.replace("retired", "active"))).unwrap();
    assert_eq!(changes.keys[0].issuer, "https://nablus-sweets.example");
}
