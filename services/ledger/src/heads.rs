//! The newest signed head, kept where a restore of the ledger's database does not reach.
//!
//! It is what tells that a database is an older copy. So it is durable before the head is published, and only ever
//! replaced by a larger one: whoever finds a larger or another head there has to look before it signs again.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use evidence::note::{NoteKey, SignedCheckpoint};
use jiff::Timestamp;
use keys::log_head::{self, Kept, LogHead};
use platform::db::Db;

use crate::fault::Fault;

/// A note with a hundred witnesses' lines has 20 kB; what is larger is another file.
const FILE_MAX: u64 = 1024 * 1024;

/// Where heads are kept.
#[derive(Debug, Clone)]
pub enum HeadKeeper {
    /// A file on this machine.
    File(PathBuf),
    /// The keys database, which a cluster's ledgers share and which is backed up apart.
    Keys(Db),
}

impl HeadKeeper {
    /// The head that is kept for the log with this key, checked to be signed by it.
    pub(crate) async fn read(&self, key: &NoteKey) -> Result<Option<SignedCheckpoint>, Fault> {
        let note = match self {
            Self::File(path) => on_disk(path, read_file).await?,
            Self::Keys(db) => log_head::read(db, key.name()).await?.map(|head| head.note),
        };
        note.map(|note| own(&note, key)).transpose()
    }

    /// Keeps a head, durably, unless what is kept is larger or another of the same size.
    pub(crate) async fn keep(&self, head: &SignedCheckpoint, key: &NoteKey, now: Timestamp) -> Result<Kept, Fault> {
        let note = head.text();
        match self {
            Self::File(path) => {
                let kept = self.read(key).await?;
                if kept.is_some_and(|kept| contradicts(&kept, head)) {
                    return Ok(Kept::Contradicted);
                }
                on_disk(path, move |path| write_file(path, &note)).await?;
                Ok(Kept::Yes)
            }
            Self::Keys(db) => {
                let size = i64::try_from(head.checkpoint().size).expect("a tree has at most 2^48 leaves");
                Ok(log_head::write(db, key.name(), &LogHead { size, note }, now).await?)
            }
        }
    }
}

fn own(note: &str, key: &NoteKey) -> Result<SignedCheckpoint, Fault> {
    let head = SignedCheckpoint::parse(note.as_bytes())?;
    head.verified_by(std::slice::from_ref(key))?;
    Ok(head)
}

fn contradicts(kept: &SignedCheckpoint, new: &SignedCheckpoint) -> bool {
    let (kept, new) = (kept.checkpoint(), new.checkpoint());
    kept.size > new.size || kept.size == new.size && kept.root != new.root
}

/// Runs `work` where it may wait for the disk.
async fn on_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, Fault> {
    let owned = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&owned)).await;
    let done = done.unwrap_or_else(|_| Err(io::Error::other("interrupted")));
    done.map_err(|error| Fault::Disk(path.to_owned(), error))
}

fn read_file(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(about) if about.len() > FILE_MAX => Err(io::ErrorKind::FileTooLarge.into()),
        _ => fs::read_to_string(path).map(Some),
    }
}

/// Whole or not at all: a new file takes the old one's name once it is on the disk, and the name goes there too.
fn write_file(path: &Path, note: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
