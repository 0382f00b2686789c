//! What is wrong with a document's shape, said without repeating what it holds.
//!
//! serde's messages quote the offending value, and a value may be a person's number or a password. So a message
//! is taken apart here: the key path and what was expected come from our own types and may be shown; the rest is
//! dropped. Used for request bodies and for configuration.

use serde_path_to_error::{Path, Segment};

/// One thing that is wrong, at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Keys and indices from the root to the place.
    pub(crate) path: Vec<String>,
    /// What is wrong there.
    pub(crate) fault: Fault,
}

/// The ways in which a place can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The key has no meaning here; what would have (may be empty).
    Unknown(String),
    /// The key must be there.
    Missing,
    /// The key stands twice.
    Duplicate,
    /// The value is not what this place takes.
    Expected(String),
    /// A type of ours refused the value, in its own words (free of the value), or without words.
    Refused(Option<String>),
}

impl Misfit {
    /// Takes a deserialiser's message apart.
    pub(crate) fn new(path: &Path, message: &str) -> Self {
        let mut path: Vec<String> = path.iter().filter_map(key).collect();
        let message = without_position(message);
        let (named, fault) = classify(message);
        if let Some(named) = named
            && path.last().map(String::as_str) != Some(named)
        {
            path.push(named.to_owned());
        }
        Self { path, fault }
    }

    /// The place as a JSON pointer (RFC 6901).
    pub(crate) fn pointer(&self) -> String {
        let escape = |key: &String| format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        self.path.iter().map(escape).collect()
    }

    /// What is wrong, as a sentence without its subject.
    pub(crate) fn detail(&self) -> String {
        match &self.fault {
            Fault::Unknown(known) if known.is_empty() => "is not known here".to_owned(),
            Fault::Unknown(known) => format!("is not known here; expected {known}"),
            Fault::Missing => "is missing".to_owned(),
            Fault::Duplicate => "is given twice".to_owned(),
            Fault::Expected(what) => format!("must be {what}"),
            Fault::Refused(Some(words)) => words.clone(),
            Fault::Refused(None) => "is not valid".to_owned(),
        }
    }
}

fn key(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// The key that the message names where the path may not, and the fault.
fn classify(message: &str) -> (Option<&str>, Fault) {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return (quoted(rest), Fault::Unknown(expected(rest).unwrap_or_default()));
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return (quoted(rest), Fault::Missing);
    }
    if let Some(rest) = message.strip_prefix("duplicate field ") {
        return (quoted(rest), Fault::Duplicate);
    }
    let standard = [
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "unknown variant ",
    ];
    if standard.iter().any(|prefix| message.starts_with(prefix)) {
        return (None, expected(message).map_or(Fault::Refused(None), Fault::Expected));
    }
    // A message that quotes would quote what the document holds.
    let quotes = message.contains(['"', '\'', '`']);
    (None, Fault::Refused((!quotes).then(|| message.to_owned())))
}

/// What stands between the first pair of backticks.
fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

/// What stands after the last `expected `: it comes from our types, while the text before it may be the value.
fn expected(message: &str) -> Option<String> {
    let (_, what) = message.rsplit_once(", expected ")?;
    let what = if what.starts_with("struct ") { "an object" } else { what };
    Some(what.to_owned())
}

/// Cuts serde_json's ` at line 1 column 2`: positions mean nothing to whoever built the document with a library.
fn without_position(message: &str) -> &str {
    match message.rsplit_once(" at line ") {
        Some((before, after)) if after.chars().all(|c| c.is_ascii_digit() || " column".contains(c)) => before,
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_quotes_is_dropped() {
        let own = "a phone number has at most 15 digits at line 1 column 9";
        let said = |message: &str| classify(without_position(message)).1;
        assert_eq!(
            said(own),
            Fault::Refused(Some("a phone number has at most 15 digits".to_owned()))
        );
        for quoting in ["bad date \"+970\"", "found `+970` at 1", "'+970' is no number"] {
            assert_eq!(said(quoting), Fault::Refused(None), "{quoting}");
        }
    }
}
