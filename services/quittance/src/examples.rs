//! The example registrations of `schemas/registry`, as they are published: the demonstration begins with them.

/// File name and content, the operator first.
pub const ALL: [(&str, &str); 5] = [
    ("operator.toml", include_str!("../../../schemas/registry/operator.toml")),
    (
        "smart-reply.toml",
        include_str!("../../../schemas/registry/smart-reply.toml"),
    ),
    ("modelix.toml", include_str!("../../../schemas/registry/modelix.toml")),
    ("rasmi.toml", include_str!("../../../schemas/registry/rasmi.toml")),
    ("justap.toml", include_str!("../../../schemas/registry/justap.toml")),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::Timestamp;
    use platform::chance::SeededRng;
    use registry::diff::{Context, diff};
    use registry::file::File;
    use store::registry::Directory;

    use super::*;

    #[test]
    fn each_example_can_be_applied_and_together_they_are_a_deployment() {
        let context = Context {
            directory: &Directory::default(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            rng: &SeededRng::new(1),
            stored_secrets: &|_| None,
            stored_contact: &|_, _| None,
        };
        for (name, text) in ALL {
            let file = File::parse(text, Path::new(name)).unwrap();
            let changes = diff(file, &context).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
            assert!(!changes.systems.is_empty(), "{name} registers no system");
        }
        let published = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/registry")).unwrap();
        assert_eq!(published.count(), ALL.len(), "an example is not listed here");
    }

    #[test]
    fn no_example_holds_a_secret() {
        for (name, text) in ALL {
            for word in ["whsec_", "whsk_", "\"d\"", "PRIVATE"] {
                assert!(!text.contains(word), "{name} holds {word}");
            }
        }
    }
}
