//! Who a person is in a record: an id that names a registered contact, and says nothing to whoever hasn't the registry.
//!
//! A contact's id follows from its employer and its slug, so it is the same on every machine and for ever, and the
//! log can name who approved something without holding a person's name.

use domain::id::{ControllerId, UserId};
use evidence::digest::sha256;
use uuid::Builder;

/// The id of a controller's contact.
#[must_use]
pub fn id_of(employer: ControllerId, slug: &str) -> UserId {
    let digest = sha256(format!("{employer}/{slug}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    UserId::from_uuid(Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_person_has_one_id_at_each_employer() {
        let employer = |number| ControllerId::from_uuid(Uuid::from_u128(number));
        assert_eq!(id_of(employer(1), "dpo"), id_of(employer(1), "dpo"));
        assert_ne!(id_of(employer(1), "dpo"), id_of(employer(2), "dpo"));
        assert_ne!(id_of(employer(1), "dpo"), id_of(employer(1), "desk"));
    }
}
