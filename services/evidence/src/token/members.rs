//! A JSON object, taken apart strictly: each member once, each by a name that we know, and none left over.
//!
//! A derived reader would take an array for an object and tell nothing about which member was wrong; a map would keep
//! the last of two. So the members are collected as they stand and handed out by name.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::refusal::Fault;

/// More members than any object of ours has; a flood of them ends here.
const MEMBERS_MAX: usize = 16;

/// The members that have not been taken yet.
pub(super) struct Members<'a>(Found<'a>);

impl<'a> Members<'a> {
    pub(super) fn parse(json: &'a str) -> Result<Self, Fault> {
        let Read(members) = serde_json::from_str(json).map_err(|_| Fault::NotAnObject)?;
        members.map(Self)
    }

    /// Takes a member out; `null` counts as absent, for those that may be.
    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }

    pub(super) fn raw(&mut self, name: &'static str) -> Result<&'a str, Fault> {
        self.take(name).map(RawValue::get).ok_or(Fault::Missing(name))
    }

    /// A member that must be there, of this JSON type.
    pub(super) fn value<T: Deserialize<'a>>(&mut self, name: &'static str) -> Result<T, Fault> {
        serde_json::from_str(self.raw(name)?).map_err(|_| Fault::Value(name))
    }

    /// A member that may be missing or `null`.
    pub(super) fn optional<T: Deserialize<'a>>(&mut self, name: &'static str) -> Result<Option<T>, Fault> {
        match self.take(name) {
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| Fault::Value(name)),
            None => Ok(None),
        }
    }

    /// A text that must be there and parse.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &'static str) -> Result<T, Fault> {
        let text: Cow<'a, str> = self.value(name)?;
        text.parse().map_err(|_| Fault::Value(name))
    }

    /// A text that may be missing or `null`, and else must parse.
    pub(super) fn optional_parsed<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>, Fault> {
        let text: Option<Cow<'a, str>> = self.optional(name)?;
        text.map(|text| text.parse().map_err(|_| Fault::Value(name)))
            .transpose()
    }

    /// A number that may be missing or `null`, and is no larger than this.
    pub(super) fn at_most(&mut self, name: &'static str, limit: u64) -> Result<Option<u64>, Fault> {
        let number: Option<u64> = self.optional(name)?;
        if number.is_none_or(|number| number <= limit) {
            Ok(number)
        } else {
            Err(Fault::Value(name))
        }
    }

    /// The only member: its name and its value.
    pub(super) fn single(mut self) -> Option<(Cow<'a, str>, &'a str)> {
        let (name, raw) = self.0.pop()?;
        self.0.is_empty().then(|| (name, raw.get()))
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err(Fault::Unknown) }
    }
}

/// An instant as RFC 3339 writes it. The library's own reader takes bracketed remarks as well, which have no place in
/// a closed vocabulary.
pub(super) struct Instant(pub(super) Timestamp);

impl FromStr for Instant {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = text.len() <= "2026-05-04T09:00:00.123456789+00:00".len()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte));
        text.parse().ok().filter(|_| plain).map(Self).ok_or(())
    }
}

/// A day, `2033-05-04`, and nothing behind it.
pub(super) struct Day(pub(super) Date);

impl FromStr for Day {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse()
            .ok()
            .filter(|date: &Date| date.to_string() == text)
            .map(Self)
            .ok_or(())
    }
}

/// What reading made of a text that is a JSON object.
struct Read<'a>(Result<Found<'a>, Fault>);

impl<'de: 'a, 'a> Deserialize<'de> for Read<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

/// Takes objects only: `visit_seq` is missing on purpose.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Read<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read<'de>, A::Error> {
        let mut members = Ok(Vec::new());
        while let Some((Name(name), value)) = map.next_entry()? {
            members = members.and_then(|members| add(members, name, value));
        }
        Ok(Read(members))
    }
}

type Found<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

fn add<'a>(mut members: Found<'a>, name: Cow<'a, str>, value: &'a RawValue) -> Result<Found<'a>, Fault> {
    if members.iter().any(|(known, _)| *known == name) {
        return Err(Fault::Repeated);
    }
    if members.len() == MEMBERS_MAX {
        return Err(Fault::Unknown);
    }
    members.push((name, value));
    Ok(members)
}

/// A member's name, without a copy where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text).map(Name)
    }
}

struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
