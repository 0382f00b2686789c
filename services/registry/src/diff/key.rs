//! Public keys: they begin once and end once.

use domain::id::KeyId;
use store::registry::KeyState;
use store::registry::write::KeyEnd;

use super::{Differ, Key, Sign, check};
use crate::file::{KeyEntry, KeyWish};

impl Differ<'_> {
    pub(super) fn key(&mut self, entry: KeyEntry) {
        self.at = entry.at.clone();
        let place = format!("key of {}", entry.controller);
        let Some(controller) = self.owner(&entry.controller, &place) else {
            return;
        };
        let own_issuer = self.known.get(&entry.controller).map(|known| known.issuer.clone());
        let issuer = entry.issuer.or(own_issuer).unwrap_or_default();
        let jwk = match check::jwk(&entry.jwk) {
            Ok(jwk) => jwk,
            Err(fault) => return self.fault(place, fault),
        };
        let Some(place) = self.enter(format!("key {issuer} {}", jwk.thumbprint()), &entry.at) else {
            return;
        };
        let known = self.context.directory.key(&issuer, &jwk.thumbprint());
        let id = known.map_or_else(|| self.fresh(KeyId::new), |known| known.id);
        let key = Key {
            id,
            controller,
            issuer,
            jwk,
        };
        match (known.map(|known| known.state), entry.state) {
            (None, KeyWish::Active) => {
                self.say(Sign::Added, place, "");
                self.changes.keys.push(key);
            }
            (Some(KeyState::Active), KeyWish::Retired) => self.end(key, KeyEnd::Retired, place),
            (Some(KeyState::Active | KeyState::Retired), KeyWish::Revoked) => self.end(key, KeyEnd::Revoked, place),
            (Some(KeyState::Active), KeyWish::Active)
            | (Some(KeyState::Retired), KeyWish::Retired)
            | (Some(KeyState::Revoked), KeyWish::Revoked) => {}
            (None, _) => self.fault(place, "it was never registered, so it can't end"),
            (Some(_), _) => self.fault(place, "it has ended, and a key that ended never begins again"),
        }
    }

    fn end(&mut self, key: Key, how: KeyEnd, place: String) {
        let word = match how {
            KeyEnd::Retired => "retired",
            KeyEnd::Revoked => "revoked",
        };
        self.say(Sign::Ended, place, word);
        self.changes.ended.push((key, how));
    }
}
