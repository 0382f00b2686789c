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
    let id = changes.controllers[0].0.id;
    let controller = format!("+ controller nablus-sweets ({id})");
    assert_eq!(
        lines,
        [&controller, "+ system nablus-sweets/crm"],
        "programs name it by its id"
    );
    assert!(changes.systems[0].1[0].expose().starts_with("whsec_"));
    assert_eq!(changes.systems[0].0.controller, changes.controllers[0].0.id);
    assert_eq!(changes.instructions[0].mode, InstructionMode::ForwardOnly);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = CLIENT.replace("gdpr", "atlantis").replace("https://crm", "ftp://crm");
    let binding = "\n[[binding]]\ncontroller = \"nobody\"\nproduct = \"p\"\nchannel = \"web\"\naccount = \"1\"\n";
    let faults = check(&(text + binding)).unwrap_err();
    for (fault, begins) in faults.iter().zip([
        "t.toml, line 2: controller nablus-sweets: unknown regime; known are",
        "t.toml, line 15: binding web 1: no controller has the slug `nobody`",
        "t.toml, line 10: system nablus-sweets/crm: `url` is an https address",
    ]) {
        assert!(fault.starts_with(begins), "{faults:?}");
    }
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn nothing_stands_in_a_file_twice() {
    let again = CLIENT.split_once("[[system]]").unwrap().1.replace("/dsr", "/other");
    let faults = check(&format!("{CLIENT}[[system]]{again}")).unwrap_err();
    assert_eq!(
        faults,
        ["t.toml, line 14: system nablus-sweets/crm: it stands here twice; keep one of the two"]
    );
}

#[test]
fn there_is_one_operator() {
    let operator = CLIENT.replace("country", "operator = true\n    country");
    assert!(check(&operator).is_ok());
    let second = operator.replace("nablus-sweets", "another");
    let faults = check(&format!("{operator}{second}")).unwrap_err();
    assert!(faults[0].contains("nablus-sweets is the operator"), "{faults:?}");
}

#[test]
fn what_a_channel_or_an_entry_could_not_hold_is_refused() {
    let binding = |product: &str, account: &str| {
        let text = format!("[[binding]]\ncontroller = \"nablus-sweets\"\nproduct = \"{product}\"\nchannel = \"web\"\n");
        check(&format!("{CLIENT}{text}account = \"{account}\"\n"))
    };
    assert!(binding("smart-reply", "100000000000001").is_ok());
    for (product, account) in [
        ("Smart Reply", "1"),
        ("", "1"),
        ("p", ""),
        ("p", "a b"),
        ("p", "\\u001b[2J"),
    ] {
        assert!(binding(product, account).is_err(), "{product} {account}");
    }
    for (from, to) in [
        ("https://crm", "https:///"),
        ("crm.nablus", "crm nablus"),
        ("Nablus Sweets", "\\u001b[2J"),
        ("url = ", "products = [\"a b\"]\n    url = "),
    ] {
        assert!(check(&CLIENT.replace(from, to)).is_err(), "{to}");
    }
}

#[test]
fn a_change_says_what_differs() {
    let system = |url: &str, wants: bool| System {
        url: Some(url.to_owned()),
        wants_description: wants,
        ..System::webhook(
            SystemId::from_uuid(Uuid::from_u128(1)),
            ControllerId::from_uuid(Uuid::from_u128(2)),
            "crm",
        )
    };
    let differences = line::differences(&system("https://a.example", false), &system("https://b.example", true));
    assert_eq!(
        differences,
        [
            r#"url "https://a.example" → "https://b.example""#,
            "wants_description false → true"
        ]
    );
    let long = format!("https://{}", "a".repeat(200));
    assert_eq!(
        line::differences(&system("https://a.example", true), &system(&long, true)),
        ["url"]
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
