//! The root keys, from a local file.
//!
//! A deployment's other keys are stored wrapped (AES-256-GCM) under a root key of their [`KeyClass`]; the root
//! keys live in one small TOML file that no backup of a database contains. Each class has a list: the first key
//! wraps, all of them unwrap, so that a root key can be replaced without a flag day. A process holds only the
//! classes that its file has. The file also holds the HMAC key of digests, which is never replaced: digests
//! made with it have to be found again for as long as they are kept.
//! A wrapped key is `1 ‖ key id (4) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`; its class is authenticated with the
//! caller's associated data, so that nothing can be moved to another class or another row.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::chance::{self, Rng, SharedRng};
use crate::secret::{Secret, SecretBytes};

/// AES-256 and HMAC-SHA-256 both take 32 bytes.
const KEY_BYTES: usize = 32;

/// The only layout of a wrapped key so far.
const LAYOUT: u8 = 1;

/// Enough of a digest to tell a handful of root keys apart.
const ID_BYTES: usize = 4;

const HEAD: usize = 1 + ID_BYTES + NONCE_LEN;

/// Others may never read the file, and its group may never write it. The group may read, because that is how an
/// orchestrator hands a secret to a process that isn't root.
const FORBIDDEN_MODE: u32 = 0o027;

/// A key ring is a few hundred bytes; what is larger is another file.
const FILE_MAX: u64 = 64 * 1024;

const PREAMBLE: &str = "\
# Root keys. Whoever has this file and the databases can read everything; without it nothing can be read.
# Keep a copy apart from the databases' backups. In a list, the first key wraps and all of them unwrap.
# `dedupe` must never change while digests that were made with it are kept.
";

/// What a root key protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyClass {
    /// Keys of personal data, which die first.
    Subject,
    /// Keys of evidence, which outlive personal data.
    Evidence,
    /// Secrets in configuration tables.
    Secrets,
}

/// One entry of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The root keys of a class.
    Root(KeyClass),
    /// The HMAC key of digests.
    Dedupe,
}

impl Part {
    /// A whole key ring.
    pub const ALL: &[Self] = &[
        Self::Root(KeyClass::Subject),
        Self::Root(KeyClass::Evidence),
        Self::Root(KeyClass::Secrets),
        Self::Dedupe,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Root(class) => class.name(),
            Self::Dedupe => "dedupe",
        }
    }
}

impl KeyClass {
    const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Evidence => "evidence",
            Self::Secrets => "secrets",
        }
    }
}

/// Why a key ring can't be used. Each text is one line that says what, where and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is no file.
    #[error("there is no key ring at {0}; make one with `keys init`, or correct the path in the configuration")]
    NoFile(PathBuf),
    /// The file is there and can't be read.
    #[error("the key ring {0} can't be read ({1}); give this process the right to read it")]
    Unreadable(PathBuf, io::Error),
    /// Too many may read it.
    #[error("the key ring {0} is open to others (mode {1:04o}); close it with `chmod 600 {0}`")]
    Open(PathBuf, u32),
    /// A new file can't be written; an existing one is never overwritten.
    #[error("the key ring {0} can't be written ({1}); a new one never replaces an old one")]
    Unwritable(PathBuf, io::Error),
    /// The content is not a key ring.
    #[error("the key ring {place} is not usable: {fault}; restore it from its copy")]
    Content {
        /// The file.
        place: String,
        /// What is wrong, without any key.
        fault: &'static str,
    },
    /// The file has no key for what was asked.
    #[error("the key ring has no `{0}` key; this process needs a key ring with one")]
    NoKey(&'static str),
    /// These bytes were not wrapped under a key of this ring for this place.
    #[error("a wrapped key does not open: it belongs to another key ring, another place, or is damaged")]
    Unwrap,
}

/// The root keys that this process holds. Can't be printed.
pub struct Keyring {
    subject: Vec<Root>,
    evidence: Vec<Root>,
    secrets: Vec<Root>,
    dedupe: Option<DedupeKey>,
    rng: SharedRng,
}

/// The HMAC key of digests. Can't be printed.
#[derive(Clone)]
pub struct DedupeKey(hmac::Key);

struct Root {
    id: [u8; ID_BYTES],
    key: LessSafeKey,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    subject: Vec<Secret>,
    #[serde(default)]
    evidence: Vec<Secret>,
    #[serde(default)]
    secrets: Vec<Secret>,
    dedupe: Option<Secret>,
}

impl Keyring {
    /// Reads a key ring; `rng` gives the nonces.
    pub fn open(path: &Path, rng: SharedRng) -> Result<Self, KeyringError> {
        let text = read(path)?;
        Self::parse(&text, &path.display().to_string(), rng)
    }

    /// Reads a key ring's text; `place` is what an error calls it.
    pub fn parse(text: &Secret, place: &str, rng: SharedRng) -> Result<Self, KeyringError> {
        let content = |fault| KeyringError::Content {
            place: place.to_owned(),
            fault,
        };
        let file: File = toml::from_str(text.expose()).map_err(|_| content("it is not TOML with lists of keys"))?;
        let roots = |keys: &[Secret]| {
            keys.iter()
                .map(Root::parse)
                .collect::<Result<Vec<_>, _>>()
                .map_err(content)
        };
        let dedupe = file.dedupe.as_ref().map(decode).transpose().map_err(content)?;
        Ok(Self {
            subject: roots(&file.subject)?,
            evidence: roots(&file.evidence)?,
            secrets: roots(&file.secrets)?,
            dedupe: dedupe.map(|key| DedupeKey(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))),
            rng,
        })
    }

    /// Wraps a key or a secret. `aad` names the place where the result will be stored.
    ///
    /// Nonces are random: one root key may wrap 2^32 times before a repeat is likelier than 2^-32, and it wraps
    /// a few keys a quarter for each tenant.
    pub fn wrap(&self, class: KeyClass, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let root = self.roots(class).first().ok_or(KeyringError::NoKey(class.name()))?;
        let nonce: [u8; NONCE_LEN] = chance::bytes(&*self.rng);
        let mut sealed = Vec::with_capacity(HEAD + plaintext.len() + AES_256_GCM.tag_len());
        sealed.push(LAYOUT);
        sealed.extend(root.id);
        sealed.extend(nonce);
        let mut body = Zeroizing::new(plaintext.to_vec());
        let tag = root
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), place(class, aad), &mut body)
            .expect("a key ring's entry is far below AES-GCM's 64 GiB");
        sealed.extend(body.iter());
        sealed.extend(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Keyring::wrap`] made for the same class and place.
    pub fn unwrap(&self, class: KeyClass, aad: &[u8], wrapped: &[u8]) -> Result<SecretBytes, KeyringError> {
        let roots = self.roots(class);
        if roots.is_empty() {
            return Err(KeyringError::NoKey(class.name()));
        }
        let (head, body) = wrapped.split_at_checked(HEAD).ok_or(KeyringError::Unwrap)?;
        let known = |root: &&Root| head[0] == LAYOUT && head[1..=ID_BYTES] == root.id;
        let root = roots.iter().find(known).ok_or(KeyringError::Unwrap)?;
        let nonce = Nonce::try_assume_unique_for_key(&head[1 + ID_BYTES..]).map_err(|_| KeyringError::Unwrap)?;
        let mut body = Zeroizing::new(body.to_vec());
        let opened = root.key.open_in_place(nonce, place(class, aad), &mut body);
        Ok(SecretBytes::new(opened.map_err(|_| KeyringError::Unwrap)?.to_vec()))
    }

    /// The HMAC key of digests, if this process holds it.
    pub fn dedupe(&self) -> Result<DedupeKey, KeyringError> {
        self.dedupe.clone().ok_or(KeyringError::NoKey("dedupe"))
    }

    fn roots(&self, class: KeyClass) -> &[Root] {
        match class {
            KeyClass::Subject => &self.subject,
            KeyClass::Evidence => &self.evidence,
            KeyClass::Secrets => &self.secrets,
        }
    }
}

impl DedupeKey {
    /// HMAC-SHA-256 of an id within a scope. The scope's length goes first, so that no other pair has these bytes.
    #[must_use]
    pub fn digest(&self, scope: &str, id: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&(scope.len() as u64).to_be_bytes());
        context.update(scope.as_bytes());
        context.update(id);
        context
            .sign()
            .as_ref()
            .try_into()
            .expect("an HMAC-SHA-256 has 32 bytes")
    }
}

impl Root {
    fn parse(text: &Secret) -> Result<Self, &'static str> {
        let key = decode(text)?;
        let id = digest(&SHA256, key.expose());
        let unbound = UnboundKey::new(&AES_256_GCM, key.expose()).expect("a key of 32 bytes is an AES-256 key");
        Ok(Self {
            id: id.as_ref()[..ID_BYTES]
                .try_into()
                .expect("a digest is longer than an id"),
            key: LessSafeKey::new(unbound),
        })
    }
}

/// The text of a fresh key ring with these parts.
#[must_use]
pub fn generate(parts: &[Part], rng: &dyn Rng) -> Secret {
    let key = || Zeroizing::new(STANDARD.encode(Zeroizing::new(chance::bytes::<KEY_BYTES>(rng)).as_ref()));
    let line = |part: &Part| match part {
        Part::Root(class) => format!("{} = [\"{}\"]\n", class.name(), *key()),
        Part::Dedupe => format!("{} = \"{}\"\n", part.name(), *key()),
    };
    let lines: Vec<Zeroizing<String>> = parts.iter().map(|part| Zeroizing::new(line(part))).collect();
    Secret::new(lines.iter().fold(PREAMBLE.to_owned(), |text, line| text + line))
}

/// Writes a fresh key ring that only its owner may read, durably. An existing file is left alone.
pub fn create(path: &Path, parts: &[Part], rng: &dyn Rng) -> Result<(), KeyringError> {
    let text = generate(parts, rng);
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.expose().as_bytes())?;
        file.sync_all()?;
        // The name must outlive a power cut too, before anything is wrapped.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| KeyringError::Unwritable(path.to_owned(), error))
}

fn read(path: &Path) -> Result<Secret, KeyringError> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeyringError::NoFile(path.to_owned()),
        _ => KeyringError::Unreadable(path.to_owned(), error),
    })?;
    let mode = metadata.mode() & 0o777;
    if mode & FORBIDDEN_MODE != 0 {
        return Err(KeyringError::Open(path.to_owned(), mode));
    }
    if metadata.len() > FILE_MAX {
        let place = path.display().to_string();
        return Err(KeyringError::Content {
            place,
            fault: "it is too large",
        });
    }
    let text = fs::read_to_string(path).map_err(|error| KeyringError::Unreadable(path.to_owned(), error))?;
    Ok(Secret::new(text))
}

fn decode(text: &Secret) -> Result<SecretBytes, &'static str> {
    let bytes = STANDARD
        .decode(text.expose())
        .map(SecretBytes::new)
        .map_err(|_| "a key is not base64")?;
    if bytes.expose().len() == KEY_BYTES {
        Ok(bytes)
    } else {
        Err("a key does not have 32 bytes")
    }
}

fn place(class: KeyClass, aad: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([class.name().as_bytes(), b"\0", aad].concat())
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(‹secret›)")
    }
}

impl fmt::Debug for DedupeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DedupeKey(‹secret›)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use super::*;
    use crate::chance::SeededRng;

    fn ring(text: &Secret) -> Result<Keyring, KeyringError> {
        Keyring::parse(text, "ring", Arc::new(SeededRng::new(9)))
    }

    fn fresh(seed: u64, parts: &[Part]) -> Secret {
        generate(parts, &SeededRng::new(seed))
    }

    #[test]
    fn what_is_wrapped_opens_only_in_its_place() {
        let keys = ring(&fresh(1, Part::ALL)).unwrap();
        let wrapped = keys.wrap(KeyClass::Subject, b"row 1", b"key").unwrap();
        assert_eq!(
            keys.unwrap(KeyClass::Subject, b"row 1", &wrapped).unwrap().expose(),
            b"key"
        );
        assert_ne!(
            keys.wrap(KeyClass::Subject, b"row 1", b"key").unwrap(),
            wrapped,
            "a fresh nonce each time"
        );

        let opens = |class, aad: &[u8], bytes: &[u8]| keys.unwrap(class, aad, bytes).is_ok();
        assert!(!opens(KeyClass::Evidence, b"row 1", &wrapped));
        assert!(!opens(KeyClass::Subject, b"row 2", &wrapped));
        for at in 0..wrapped.len() {
            let mut damaged = wrapped.clone();
            damaged[at] ^= 1;
            assert!(!opens(KeyClass::Subject, b"row 1", &damaged), "byte {at}");
            assert!(!opens(KeyClass::Subject, b"row 1", &wrapped[..at]), "cut at {at}");
        }
    }

    #[test]
    fn a_class_is_part_of_the_place_even_under_one_key() {
        let key = STANDARD.encode([7; 32]);
        let keys = ring(&Secret::new(format!("subject = [\"{key}\"]\nevidence = [\"{key}\"]"))).unwrap();
        let wrapped = keys.wrap(KeyClass::Subject, b"row", b"key").unwrap();
        assert!(keys.unwrap(KeyClass::Evidence, b"row", &wrapped).is_err());
    }

    #[test]
    fn a_replaced_root_key_still_opens() {
        let key = |byte| STANDARD.encode([byte; 32]);
        let old = ring(&Secret::new(format!("secrets = [\"{}\"]", key(1)))).unwrap();
        let new = ring(&Secret::new(format!("secrets = [\"{}\", \"{}\"]", key(2), key(1)))).unwrap();
        let wrapped = old.wrap(KeyClass::Secrets, b"", b"whsec").unwrap();
        assert_eq!(new.unwrap(KeyClass::Secrets, b"", &wrapped).unwrap().expose(), b"whsec");
        let wrapped = new.wrap(KeyClass::Secrets, b"", b"whsec").unwrap();
        assert!(old.unwrap(KeyClass::Secrets, b"", &wrapped).is_err());
    }

    #[test]
    fn a_ring_holds_only_its_parts_and_prints_none() {
        let keys = ring(&fresh(1, &[Part::Root(KeyClass::Evidence)])).unwrap();
        assert!(matches!(
            keys.wrap(KeyClass::Subject, b"", b""),
            Err(KeyringError::NoKey("subject"))
        ));
        assert!(matches!(
            keys.unwrap(KeyClass::Subject, b"", b""),
            Err(KeyringError::NoKey("subject"))
        ));
        assert!(matches!(keys.dedupe(), Err(KeyringError::NoKey("dedupe"))));
        assert_eq!(format!("{keys:?}"), "Keyring(‹secret›)");
    }

    #[test]
    fn a_digest_depends_on_key_scope_and_id() {
        let digest = |seed, scope: &str, id: &[u8]| {
            ring(&fresh(seed, Part::ALL))
                .unwrap()
                .dedupe()
                .unwrap()
                .digest(scope, id)
        };
        assert_eq!(digest(1, "a", b"bc"), digest(1, "a", b"bc"));
        assert_ne!(digest(1, "a", b"bc"), digest(1, "ab", b"c"));
        assert_ne!(digest(1, "a", b"bc"), digest(2, "a", b"bc"));
    }

    #[test]
    fn a_file_is_made_once_and_kept_close() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let open = || Keyring::open(&path, Arc::new(SeededRng::new(9)));
        assert!(matches!(open(), Err(KeyringError::NoFile(_))));
        create(&path, Part::ALL, &SeededRng::new(1)).unwrap();
        assert!(open().is_ok());
        assert!(matches!(
            create(&path, Part::ALL, &SeededRng::new(2)),
            Err(KeyringError::Unwritable(..))
        ));

        for (mode, fits) in [(0o600, true), (0o440, true), (0o604, false), (0o660, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(open().is_ok(), fits, "{mode:o}");
        }
    }

    #[test]
    fn an_unusable_ring_says_so_in_one_line_without_its_keys() {
        let short = STANDARD.encode([7; 16]);
        for text in [
            "x",
            "subject = \"a\"",
            "other = []",
            "dedupe = \"%\"",
            &format!("subject = [\"{short}\"]"),
        ] {
            let line = ring(&Secret::new(text)).unwrap_err().to_string();
            assert!(
                line.starts_with("the key ring ring is not usable: ") && !line.contains('\n'),
                "{line}"
            );
            assert!(!line.contains(&short));
        }
    }
}
