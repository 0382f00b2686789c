//! The registration file: TOML, everything by its slug, unknown keys refused.
//!
//! ```toml
//! [[controller]]
//! slug = "nablus-sweets"
//! name = "Nablus Sweets"
//! regime = "gdpr"
//! zone = "Asia/Hebron"
//! country = "PS"
//! issuer = "https://nablus-sweets.example"
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::assurance::AssuranceLevel;
use domain::receipt::EvidenceLevel;
use domain::regime::{Contract, OwnDays};
use domain::registration::{BindingScope, ConnectorKind, InstructionMode, SystemOwner};
use domain::right::{Channel, Right};
use platform::secret::Secret;
use serde::Deserialize;
use toml::Spanned;

/// Larger than twenty thousand systems with room to spare; what is larger is another file.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Everything that some files register.
#[derive(Debug, Default)]
pub struct File {
    /// Client businesses, and the operator itself.
    pub controllers: Vec<ControllerEntry>,
    /// Whom to tell when a system can't be reached.
    pub contacts: Vec<ContactEntry>,
    /// Connected accounts.
    pub bindings: Vec<BindingEntry>,
    /// Where data lives.
    pub systems: Vec<SystemEntry>,
    /// Public keys of receipts.
    pub keys: Vec<KeyEntry>,
    /// What the operator may do.
    pub instructions: Vec<InstructionEntry>,
}

/// The same as it is read, with the place of each entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(default, rename = "controller")]
    controllers: Vec<Spanned<ControllerEntry>>,
    #[serde(default, rename = "contact")]
    contacts: Vec<Spanned<ContactEntry>>,
    #[serde(default, rename = "binding")]
    bindings: Vec<Spanned<BindingEntry>>,
    #[serde(default, rename = "system")]
    systems: Vec<Spanned<SystemEntry>>,
    #[serde(default, rename = "key")]
    keys: Vec<Spanned<KeyEntry>>,
    #[serde(default, rename = "instruction")]
    instructions: Vec<Spanned<InstructionEntry>>,
}

/// Where an entry stands, so that a mistake in it can be found; nowhere, if a program made it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct At(Option<(Arc<Path>, usize)>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((file, line)) => write!(f, "{}, line {line}: ", file.display()),
            None => Ok(()),
        }
    }
}

/// `[[controller]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of domain::registration::Controller")]
pub struct ControllerEntry {
    #[serde(skip)]
    pub at: At,
    pub slug: String,
    pub name: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    pub regime: String,
    pub zone: String,
    pub country: String,
    #[serde(default)]
    pub days: OwnDays,
    #[serde(default)]
    pub contract: Contract,
    pub issuer: String,
    #[serde(default)]
    pub assurance: BTreeMap<Right, AssuranceLevel>,
    #[serde(default)]
    pub operator: bool,
    /// `whsk_…`: signs every webhook to it beside the system's own secret.
    #[serde(default)]
    pub signing_keys: Vec<Secret>,
}

/// `[[contact]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub struct ContactEntry {
    #[serde(skip)]
    pub at: At,
    pub controller: String,
    pub slug: String,
    pub email: Secret,
}

/// `[[binding]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of domain::registration::Binding")]
pub struct BindingEntry {
    #[serde(skip)]
    pub at: At,
    pub controller: String,
    pub product: String,
    pub channel: Channel,
    pub account: String,
    #[serde(default = "own")]
    pub scope: BindingScope,
}

/// `[[system]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of domain::registration::System")]
pub struct SystemEntry {
    #[serde(skip)]
    pub at: At,
    pub controller: String,
    pub slug: String,
    #[serde(default = "webhook")]
    pub kind: ConnectorKind,
    pub url: Option<String>,
    #[serde(default = "controllers_own")]
    pub owner: SystemOwner,
    #[serde(default)]
    pub products: Vec<String>,
    #[serde(default)]
    pub rights: Vec<Right>,
    #[serde(default)]
    pub channels: Vec<Channel>,
    #[serde(default)]
    pub identity_kinds: Vec<String>,
    #[serde(default)]
    pub wants_description: bool,
    #[serde(default = "declared")]
    pub demand: EvidenceLevel,
    #[serde(default = "concurrency")]
    pub concurrency: u16,
    pub rate_per_second: Option<u32>,
    pub issuer: Option<String>,
    /// `whsec_…`, the newest first; a webhook without one gets one made.
    #[serde(default)]
    pub secrets: Vec<Secret>,
}

/// `[[key]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Where it stands.
    #[serde(skip)]
    pub at: At,
    /// Whose it is.
    pub controller: String,
    /// The `iss` that uses it; the controller's own if not said.
    pub issuer: Option<String>,
    /// The public key.
    pub jwk: toml::Table,
    /// Whether it begins or ends.
    #[serde(default = "active")]
    pub state: KeyWish,
}

/// What a file wants of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyWish {
    /// Its signatures count.
    Active,
    /// It is not used any more.
    Retired,
    /// It is not trusted any more.
    Revoked,
}

/// `[[instruction]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of domain::registration::Instruction")]
pub struct InstructionEntry {
    #[serde(skip)]
    pub at: At,
    pub controller: String,
    pub mode: InstructionMode,
    #[serde(default)]
    pub rights: Vec<Right>,
    pub approver: String,
}

/// Why a file can't be read. One line that says what and where.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be opened.
    #[error("{0}: can't be read ({1})")]
    Read(PathBuf, std::io::Error),
    /// It is larger than any registry.
    #[error("{0}: larger than 64 MiB")]
    TooLarge(PathBuf),
    /// It is not TOML of this shape.
    #[error("{0}, line {1}: {2}")]
    Shape(PathBuf, usize, String),
}

impl File {
    /// Reads some files as if they were one.
    pub fn read(paths: &[PathBuf]) -> Result<Self, FileError> {
        let mut whole = Self::default();
        for path in paths {
            whole.add(Self::read_one(path)?);
        }
        Ok(whole)
    }

    fn read_one(path: &Path) -> Result<Self, FileError> {
        let unreadable = |error| FileError::Read(path.to_owned(), error);
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(FileError::TooLarge(path.to_owned()));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?, path)
    }

    /// Reads the text of one file; `path` is for errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, FileError> {
        let lines = Lines::of(text, path);
        let read: Read = toml::from_str(text).map_err(|error| {
            let line = lines.line(error.span().map_or(0, |span| span.start));
            FileError::Shape(path.to_owned(), line, error.message().to_owned())
        })?;
        Ok(Self {
            controllers: lines.place(read.controllers, |entry| &mut entry.at),
            contacts: lines.place(read.contacts, |entry| &mut entry.at),
            bindings: lines.place(read.bindings, |entry| &mut entry.at),
            systems: lines.place(read.systems, |entry| &mut entry.at),
            keys: lines.place(read.keys, |entry| &mut entry.at),
            instructions: lines.place(read.instructions, |entry| &mut entry.at),
        })
    }

    fn add(&mut self, other: Self) {
        self.controllers.extend(other.controllers);
        self.contacts.extend(other.contacts);
        self.bindings.extend(other.bindings);
        self.systems.extend(other.systems);
        self.keys.extend(other.keys);
        self.instructions.extend(other.instructions);
    }
}

/// Where the lines of a file begin.
struct Lines {
    file: Arc<Path>,
    begins: Vec<usize>,
}

impl Lines {
    fn of(text: &str, file: &Path) -> Self {
        let after = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        Self {
            file: file.into(),
            begins: std::iter::once(0).chain(after).collect(),
        }
    }

    /// The number of the line that a byte stands in, from 1.
    fn line(&self, byte: usize) -> usize {
        self.begins.partition_point(|begin| *begin <= byte)
    }

    fn place<T>(&self, read: Vec<Spanned<T>>, at: impl Fn(&mut T) -> &mut At) -> Vec<T> {
        let placed = |one: Spanned<T>| {
            let line = self.line(one.span().start);
            let mut entry = one.into_inner();
            *at(&mut entry) = At(Some((Arc::clone(&self.file), line)));
            entry
        };
        read.into_iter().map(placed).collect()
    }
}

fn own() -> BindingScope {
    BindingScope::Own
}

fn webhook() -> ConnectorKind {
    ConnectorKind::Webhook
}

fn controllers_own() -> SystemOwner {
    SystemOwner::Controller
}

fn declared() -> EvidenceLevel {
    EvidenceLevel::Declared
}

fn concurrency() -> u16 {
    domain::registration::CONCURRENCY_DEFAULT
}

fn active() -> KeyWish {
    KeyWish::Active
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let text = "[[binding]]\ncontroller = \"a\"\nproduct = \"p\"\nchannel = \"fax\"\naccount = \"1\"\n";
        let error = File::parse(text, Path::new("clients.toml")).unwrap_err().to_string();
        assert!(
            error.starts_with("clients.toml, line 4: unknown channel; known are whatsapp"),
            "{error}"
        );
        let error = File::parse("[[system]]\nslug = 1\n", Path::new("x.toml"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("x.toml, line 2:"), "{error}");
        let error = File::parse("[[clients]]\n", Path::new("x.toml"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `clients`"), "{error}");
    }
}
