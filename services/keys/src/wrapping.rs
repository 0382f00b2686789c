//! The keys that wrap data keys: one per controller, quarter and class.
//!
//! They are small in number, so a process unwraps each through its key ring once a minute and not once a request.
//! A wrapping key exists in the database before anything is wrapped under it, and a foreign key keeps it so.

use domain::id::{ControllerId, RequestId};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use platform::chance::Rng;
use platform::keyring::{KeyClass, Keyring};
use zeroize::Zeroizing;

use crate::aead::{Cipher, Mismatch};
use crate::{Class, KeyError};

/// AES-256.
pub(crate) const KEY_BYTES: usize = 32;

/// Which wrapping key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) controller: ControllerId,
    pub(crate) quarter: i64,
    pub(crate) class: Class,
}

/// An unwrapped wrapping key.
pub(crate) struct WrappingKey(Cipher);

/// The calendar quarter of an instant, UTC: year × 4 + 0 … 3.
pub(crate) fn quarter(now: Timestamp) -> i64 {
    let date = now.to_zoned(TimeZone::UTC).date();
    i64::from(date.year()) * 4 + i64::from(date.month() - 1) / 3
}

impl Place {
    /// A fresh key for this place, as the database holds it.
    pub(crate) fn make(&self, keyring: &Keyring, rng: &dyn Rng) -> Result<Vec<u8>, KeyError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rng.fill(&mut *key);
        Ok(keyring.wrap(self.root(), &self.bytes(), &*key)?)
    }

    pub(crate) fn unwrap(&self, keyring: &Keyring, wrapped: &[u8]) -> Result<WrappingKey, KeyError> {
        let key = keyring.unwrap(self.root(), &self.bytes(), wrapped)?;
        let key = key.expose().try_into().map_err(|_| KeyError::Damaged)?;
        Ok(WrappingKey(Cipher::from_bytes(key)))
    }

    fn root(&self) -> KeyClass {
        match self.class {
            Class::Subject => KeyClass::Subject,
            Class::Evidence => KeyClass::Evidence,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let controller = self.controller.bytes();
        [b"wrapping-key\0", &controller[..], &self.quarter.to_be_bytes()].concat()
    }
}

impl WrappingKey {
    pub(crate) fn wrap(&self, rng: &dyn Rng, request: RequestId, class: Class, key: &[u8; KEY_BYTES]) -> Vec<u8> {
        self.0.seal(rng, &data_place(request, class), key)
    }

    pub(crate) fn unwrap(
        &self,
        request: RequestId,
        class: Class,
        wrapped: &[u8],
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
        let damaged = |_: Mismatch| KeyError::Damaged;
        let opened = self.0.open(&data_place(request, class), wrapped).map_err(damaged)?;
        let key = opened.as_slice().try_into().map_err(|_| KeyError::Damaged)?;
        Ok(Zeroizing::new(key))
    }
}

fn data_place(request: RequestId, class: Class) -> Vec<u8> {
    [b"data-key\0", &[class.number()][..], &request.bytes()].concat()
}

#[cfg(test)]
mod tests {
    #[test]
    fn quarters_follow_the_calendar() {
        let quarter = |text: &str| super::quarter(text.parse().unwrap());
        assert_eq!(quarter("2026-01-01T00:00:00Z"), 8104);
        assert_eq!(quarter("2026-03-31T23:59:59Z"), 8104);
        assert_eq!(quarter("2026-04-01T02:00:00+03:00"), 8104);
        assert_eq!(quarter("2026-12-31T23:59:59Z"), 8107);
        assert_eq!(quarter("2027-01-01T00:00:00Z"), 8108);
    }
}
