//! Reading JSON whose shape is somebody else's and changes with the season.

use jiff::Timestamp;
use serde_json::Value;

/// Seconds since 1970 stay below this until the year 5138; what is larger is milliseconds.
const SECONDS_MAX: i64 = 100_000_000_000;

/// A member that is a text, or a number where a text was due; an empty text is none.
pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    match value.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A member that is a list; a missing one is empty.
pub(super) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A member that is there and not null.
pub(super) fn has(value: &Value, key: &str) -> bool {
    value.get(key).is_some_and(|member| !member.is_null())
}

/// A member that is `true`.
pub(super) fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// A member that is an instant: seconds or milliseconds since 1970, as a number or a text, or a date and time with its
/// offset.
pub(super) fn instant(value: &Value, key: &str) -> Option<Timestamp> {
    let text = text(value, key)?;
    match text.parse::<i64>() {
        Ok(number) if number.abs() < SECONDS_MAX => Timestamp::from_second(number).ok(),
        Ok(number) => Timestamp::from_millisecond(number).ok(),
        Err(_) => text
            .parse()
            .or_else(|_| Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", &text))
            .ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_instant_is_read_however_it_is_written() {
        let written = json!({
            "seconds": 1_749_416_383, "text": "1749416383", "milliseconds": 1_749_416_383_000_i64,
            "offset": "2025-06-08T22:59:43+0200", "zulu": "2025-06-08T20:59:43Z",
            "word": "TIMESTAMP", "huge": i64::MAX, "fraction": 1.5,
        });
        for key in ["seconds", "text", "milliseconds", "offset", "zulu"] {
            assert_eq!(
                instant(&written, key).map(Timestamp::as_second),
                Some(1_749_416_383),
                "{key}"
            );
        }
        for key in ["word", "huge", "fraction", "missing"] {
            assert_eq!(instant(&written, key), None, "{key}");
        }
    }

    #[test]
    fn an_id_may_be_a_number() {
        let written = json!({"number": 367_829_347_023_982_i64, "text": "7", "empty": "", "null": null});
        assert_eq!(text(&written, "number").as_deref(), Some("367829347023982"));
        assert_eq!(text(&written, "text").as_deref(), Some("7"));
        assert_eq!(text(&written, "empty").or(text(&written, "null")), None);
    }
}
