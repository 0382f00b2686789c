//! Files with one private key as JWK: the key of our own statements, and a sandbox's.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use evidence::jwk::{Algorithm, TokenKey};
use platform::chance::{self, Rng};
use platform::secret::Secret;

use crate::failure::Failure;

/// Others may never read the file, and its group may never write it; as with the key ring.
const FORBIDDEN_MODE: u32 = 0o027;

/// Makes a file with a fresh Ed25519 key. One that exists is never replaced.
///
/// # Panics
/// Never: every 32 bytes are an Ed25519 seed.
pub fn create(path: &Path, rng: &dyn Rng) -> Result<(), Failure> {
    let seed = chance::bytes::<32>(rng);
    let jwk = TokenKey::write_private(Algorithm::EdDsa, &seed).expect("32 bytes are an Ed25519 seed");
    let jwk = Secret::new(jwk + "\n");
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(jwk.expose().as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| Failure::usage(format!("the key {} can't be written ({error})", path.display())))
}

/// Reads such a file.
pub fn load(path: &Path) -> Result<TokenKey, Failure> {
    let place = path.display();
    let unreadable = |error: io::Error| {
        Failure::usage(format!(
            "the key {place} can't be read ({error}); make one with `quittance keys init`, or correct its path"
        ))
    };
    let mode = fs::metadata(path).map_err(unreadable)?.mode() & 0o777;
    if mode & FORBIDDEN_MODE != 0 {
        return Err(Failure::usage(format!(
            "the key {place} is open to others (mode {mode:04o}); close it with `chmod 600 {place}`"
        )));
    }
    let text = Secret::new(fs::read_to_string(path).map_err(unreadable)?);
    TokenKey::parse_private(text.expose()).map_err(|_| {
        Failure::usage(format!(
            "the key {place} is not a private JWK; restore it from its copy"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use platform::chance::SeededRng;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("statement.jwk");
        assert!(load(&path).unwrap_err().line.contains("quittance keys init"));
        create(&path, &SeededRng::new(1)).unwrap();
        let kid = load(&path).unwrap().kid().to_owned();
        assert!(create(&path, &SeededRng::new(2)).is_err());
        assert_eq!(load(&path).unwrap().kid(), kid);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load(&path).unwrap_err().line.contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{}").unwrap();
        assert!(load(&path).unwrap_err().line.contains("not a private JWK"));
    }
}
