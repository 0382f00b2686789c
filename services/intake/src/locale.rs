//! Language tags, as far as a door looks at them.

/// BCP 47 (RFC 5646 §4.4.1) advises room for 35 characters.
const LENGTH_MAX: usize = 35;

/// Whether a text has the letters and the length of a language tag (BCP 47); whether that language exists is nobody's
/// question here.
pub(crate) fn is_tag(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (2..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(letter)
}
