//! Searching for what must not be there: a person's name, number or address, however it may be written.
//!
//! A [`Canary`] knows secrets and finds them in bytes: as they are, in lower case, without `+`, in base64 at each
//! alignment and in both alphabets, `\u`-escaped, percent-encoded, in hexadecimal, as UTF-16, and as Rust prints bytes.
//! All spellings of all secrets are looked for in one pass, filed under their first four bytes. A spelling that a test
//! doesn't plant and find again is one that this module may have wrong, so its own test plants every one of them.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Spellings are filed under this many of their first bytes; a secret is longer.
const FILED: usize = 4;

/// Shorter ones would be found by accident.
const SHORTEST: usize = 6;

/// Secrets to be found.
#[derive(Debug, Default)]
pub struct Canary(HashMap<[u8; FILED], Vec<Spelling>>);

/// One way to write one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spelling {
    secret: String,
    written: &'static str,
    bytes: Vec<u8>,
}

/// A secret that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Which secret, by the name that it was given.
    pub secret: String,
    /// How it was written.
    pub written: &'static str,
    /// What stands around it, as far as it is text.
    pub around: String,
}

impl Canary {
    /// Will find these secrets, each given with a name.
    ///
    /// # Panics
    /// When a secret is so short that it would be found by accident.
    #[must_use]
    pub fn new(secrets: &[(&str, &str)]) -> Self {
        let mut filed: HashMap<_, Vec<Spelling>> = HashMap::new();
        for (name, secret) in secrets {
            assert!(secret.len() >= SHORTEST, "{name} is too short to be looked for");
            for (written, bytes) in spellings(secret) {
                let Some(first) = bytes.first_chunk::<FILED>() else {
                    continue;
                };
                let secret = (*name).to_owned();
                let same = filed.entry(*first).or_default();
                let spelling = Spelling { secret, written, bytes };
                if !same.contains(&spelling) {
                    same.push(spelling);
                }
            }
        }
        Self(filed)
    }

    /// Every secret in these bytes, once for each way in which it is written.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> BTreeSet<Hit> {
        let mut hits: HashMap<(&str, &'static str), Hit> = HashMap::new();
        for (at, window) in bytes.windows(FILED).enumerate() {
            let Some(filed) = window.first_chunk::<FILED>().and_then(|first| self.0.get(first)) else {
                continue;
            };
            for spelling in filed.iter().filter(|spelling| bytes[at..].starts_with(&spelling.bytes)) {
                hits.entry((&spelling.secret, spelling.written)).or_insert_with(|| Hit {
                    secret: spelling.secret.clone(),
                    written: spelling.written,
                    around: around(bytes, at, spelling.bytes.len()),
                });
            }
        }
        hits.into_values().collect()
    }
}

fn around(bytes: &[u8], at: usize, length: usize) -> String {
    let (from, to) = (at.saturating_sub(60), (at + length + 60).min(bytes.len()));
    String::from_utf8_lossy(&bytes[from..to]).into_owned()
}

fn spellings(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let forms = BTreeSet::from([
        secret.to_owned(),
        secret.to_lowercase(),
        secret.trim_start_matches('+').to_owned(),
    ]);
    forms.iter().flat_map(|form| written(form)).collect()
}

/// Every way to write a text.
fn written(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = text.as_bytes();
    let mut all = vec![
        ("raw", bytes.to_vec()),
        ("hex", joined(bytes, |byte| format!("{byte:02x}"))),
        ("hex", joined(bytes, |byte| format!("{byte:02X}"))),
        (
            "escaped",
            escaped(text, |unit| format!("\\u{unit:04x}"), char::is_ascii),
        ),
        (
            "escaped",
            escaped(text, |unit| format!("\\u{unit:04X}"), char::is_ascii),
        ),
        ("escaped", escaped(text, |unit| format!("\\u{unit:04x}"), |_| false)),
        ("percent", joined(bytes, |byte| percent(byte, false))),
        (
            "percent",
            joined(bytes, |byte| percent(byte, false).to_ascii_lowercase()),
        ),
        ("percent", joined(bytes, |byte| percent(byte, true))),
        ("utf-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("utf-16", text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        (
            "list of bytes",
            bytes
                .iter()
                .map(u8::to_string)
                .collect::<Vec<_>>()
                .join(", ")
                .into_bytes(),
        ),
        (
            "list of bytes",
            bytes
                .iter()
                .map(u8::to_string)
                .collect::<Vec<_>>()
                .join(",")
                .into_bytes(),
        ),
    ];
    for alignment in 0..3 {
        all.push((
            "base64",
            base64(bytes, alignment, |bytes| STANDARD_NO_PAD.encode(bytes)),
        ));
        all.push((
            "base64",
            base64(bytes, alignment, |bytes| URL_SAFE_NO_PAD.encode(bytes)),
        ));
    }
    all
}

fn joined(bytes: &[u8], write: impl Fn(u8) -> String) -> Vec<u8> {
    bytes.iter().map(|byte| write(*byte)).collect::<String>().into_bytes()
}

fn percent(byte: u8, everything: bool) -> String {
    if !everything && (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

fn escaped(text: &str, write: impl Fn(u16) -> String, plain: impl Fn(&char) -> bool) -> Vec<u8> {
    let mut units = [0; 2];
    let mut written = String::new();
    for character in text.chars() {
        if plain(&character) {
            written.push(character);
        } else {
            written.extend(character.encode_utf16(&mut units).iter().map(|unit| write(*unit)));
        }
    }
    written.into_bytes()
}

/// The characters that the text alone decides when it stands `alignment` bytes into a group of three.
fn base64(text: &[u8], alignment: usize, encode: impl Fn(Vec<u8>) -> String) -> Vec<u8> {
    let before = vec![0; alignment];
    let (first, end) = ((alignment * 8).div_ceil(6), (alignment + text.len()) * 8 / 6);
    encode([&before, text].concat()).as_bytes()[first..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: [(&str, &str); 3] = [
        ("phone", "+970591234567"),
        ("name", "Zéphyrine Quill"),
        ("mail", "zq@canary.example"),
    ];

    fn found(bytes: &[u8]) -> Vec<(String, &'static str)> {
        let hits = Canary::new(&SECRETS).find(bytes);
        hits.into_iter().map(|hit| (hit.secret, hit.written)).collect()
    }

    fn finds(bytes: impl AsRef<[u8]>, secret: &str, written: &'static str) {
        let planted = [&b"{\"before\":1,"[..], bytes.as_ref(), b"\",\"after\":2}"].concat();
        let found = found(&planted);
        assert!(
            found.contains(&(secret.to_owned(), written)),
            "{secret} {written}: {found:?}"
        );
    }

    #[test]
    fn what_is_planted_is_found_however_it_is_written() {
        finds("+970591234567", "phone", "raw");
        finds("tel:970591234567", "phone", "raw");
        finds("zéphyrine quill", "name", "raw");
        finds("393730353931323334353637", "phone", "hex");
        finds("7A714063616E6172792E6578616D706C65", "mail", "hex");
        finds(r"Z\u00e9phyrine Quill", "name", "escaped");
        finds(r"Z\u00E9phyrine Quill", "name", "escaped");
        finds("Z%C3%A9phyrine%20Quill", "name", "percent");
        finds("zq%40canary.example", "mail", "percent");
        finds("%2b970591234567", "phone", "percent");
        finds(format!("{:?}", b"zq@canary.example"), "mail", "list of bytes");
        for text in ["", "a", "ab", "abc"] {
            let text = format!("{text}+970591234567");
            finds(STANDARD_NO_PAD.encode(&text), "phone", "base64");
            finds(URL_SAFE_NO_PAD.encode(format!("{text}???>>>")), "phone", "base64");
        }
        let wide: Vec<u8> = "zq@canary.example".encode_utf16().flat_map(u16::to_be_bytes).collect();
        finds(wide, "mail", "utf-16");
    }

    #[test]
    fn the_phone_number_in_a_message_id_is_found() {
        finds(crate::harness::provider::wamid("970591234567", 7), "phone", "base64");
    }

    #[test]
    fn others_are_not_found() {
        assert_eq!(found(b"+970591234568 Zephyr Quill zq@canary.org OTcwNTkxMjM0NTY4"), []);
    }
}
