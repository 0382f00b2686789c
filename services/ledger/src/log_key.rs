//! The key that signs the log's heads: a seed in a file that only its owner reads.
//!
//! The file holds one line, 32 bytes in base64. Its name in signatures is the log's origin, which the configuration
//! says, so one file can't sign for two logs by mistake: the database remembers the key's id from the first start.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::note::{KeyType, NoteSigner};
use platform::chance::{self, Rng};
use zeroize::Zeroizing;

/// A seed's line is 45 bytes; what is larger is another file.
const FILE_MAX: u64 = 1024;

/// Others may never read the file, and its group may never write it: as with the key ring, an orchestrator hands
/// secrets to a process by its group.
const FORBIDDEN_MODE: u32 = 0o027;

/// Why there is no log key. Each text is one line that says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum LogKeyError {
    /// The file is not there or can't be read or written.
    #[error("the log key {0} can't be used ({1}); make one with `quittance keys init` or correct the path")]
    File(PathBuf, #[source] io::Error),
    /// Others may read it.
    #[error("the log key {0} is open to others (mode {1:03o}); run `chmod 600` on it")]
    Mode(PathBuf, u32),
    /// Not a seed.
    #[error("the log key {0} is not one line of 32 bytes in base64; put the right file in place")]
    Content(PathBuf),
    /// The origin can't stand in a signature.
    #[error("the origin `{0}` is empty or has white space or `+` in it; choose another")]
    Origin(String),
}

/// Makes a key file. One that exists is never replaced.
pub fn create(path: &Path, rng: &dyn Rng) -> Result<(), LogKeyError> {
    let seed = Zeroizing::new(chance::bytes::<32>(rng));
    let line = Zeroizing::new(STANDARD.encode(seed.as_ref()) + "\n");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| LogKeyError::File(path.to_owned(), error))
}

/// Reads a key file, for the log of this origin.
pub fn load(path: &Path, origin: &str) -> Result<NoteSigner, LogKeyError> {
    let fail = |error| LogKeyError::File(path.to_owned(), error);
    let about = fs::metadata(path).map_err(fail)?;
    if about.mode() & FORBIDDEN_MODE != 0 {
        return Err(LogKeyError::Mode(path.to_owned(), about.mode() & 0o777));
    }
    let content = || LogKeyError::Content(path.to_owned());
    if about.len() > FILE_MAX {
        return Err(content());
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(fail)?);
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| content())?);
    let seed: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| content())?;
    NoteSigner::new(KeyType::Log, origin, seed).map_err(|_| LogKeyError::Origin(origin.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use platform::chance::SeededRng;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        create(&path, &SeededRng::new(1)).unwrap();
        let signer = load(&path, "log.example/dsr").unwrap();
        assert_eq!(signer.key().name(), "log.example/dsr");
        assert!(matches!(create(&path, &SeededRng::new(2)), Err(LogKeyError::File(..))));
        assert!(matches!(load(&path, "two words"), Err(LogKeyError::Origin(_))));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let refused = load(&path, "log.example/dsr").unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "c2hvcnQ=\n").unwrap();
        assert!(matches!(load(&path, "log.example/dsr"), Err(LogKeyError::Content(_))));
    }
}
