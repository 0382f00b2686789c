//! What a person is shown of a change: a line for each thing, with what differs in it.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// Two ids fit. Values that are longer are not shown: they are named, and the file has them.
const SHOWN_MAX: usize = 80;

/// One line of the difference: `+ system nablus-sweets/crm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What happens to it.
    pub sign: Sign,
    /// What it is, by its slug.
    pub what: String,
    /// What differs in it, or the id by which programs know it; empty where there is nothing to add.
    pub detail: String,
}

/// What happens to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It is new.
    Added,
    /// It changes.
    Changed,
    /// It ends.
    Ended,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.sign {
            Sign::Added => '+',
            Sign::Changed => '~',
            Sign::Ended => '-',
        };
        write!(f, "{sign} {}", self.what)?;
        if self.detail.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.detail)
        }
    }
}

/// What differs between two registrations of a kind: `url "https://a.example" → "https://b.example"`.
pub(super) fn differences<T: Serialize>(known: &T, wanted: &T) -> Vec<String> {
    let (known, wanted) = (members(known), members(wanted));
    let differs = |(name, new): (&String, &Value)| {
        let old = known.get(name).unwrap_or(&Value::Null);
        (old != new).then(|| told(name, old, new))
    };
    wanted.iter().filter_map(differs).collect()
}

fn members<T: Serialize>(registration: &T) -> Map<String, Value> {
    match serde_json::to_value(registration) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

fn told(name: &str, old: &Value, new: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        value => value.to_string(),
    };
    let (old, new) = (text(old), text(new));
    if old.chars().count() + new.chars().count() > SHOWN_MAX {
        name.to_owned()
    } else {
        format!("{name} {old} → {new}")
    }
}
