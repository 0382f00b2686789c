//! Signed notes: a checkpoint, who signed it, and who saw it (C2SP signed-note, tlog-checkpoint, tlog-cosignature).
//!
//! A [`Checkpoint`] is three lines: origin, size, root. The log signs them with Ed25519; a witness cosigns them
//! together with the time at which it saw that they extend what it had seen before. Lines of keys that nobody named
//! are ignored, as the specification wants, but a line of a known key that does not verify condemns the whole note.
//! The text of a note is checked byte for byte as it came and never written again for it.

use jiff::Timestamp;

use crate::merkle::Hash;

pub mod key;

pub use key::{KeyType, NoteKey, NoteSigner};

/// A tree's head: what a log signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity, for ever the same.
    pub origin: String,
    /// How many leaves the tree has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// A checkpoint with its signature lines, as files and answers hold it. Parsing proves nothing: ask
/// [`SignedCheckpoint::verified_by`], or a [`crate::policy::Policy`].
#[derive(Debug, PartialEq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: signed_note::Note,
    lines: Vec<signed_note::Signature>,
}

/// One signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Whose it is.
    pub key: NoteKey,
    /// When a witness saw it; a log's own signature has no time.
    pub at: Option<Timestamp>,
}

/// Why bytes are no checkpoint, or why nobody known has signed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a text, a blank line and signature lines.
    #[error("not a signed note")]
    Note,
    /// The text is not exactly origin, size and root.
    #[error("the note's text is not a checkpoint of three lines: origin, size, root")]
    Checkpoint,
    /// A known key's line does not verify.
    #[error("the signature of {0} does not verify")]
    Signature(String),
    /// No line is of a known key.
    #[error("no known key has signed this checkpoint")]
    Unsigned,
}

impl Checkpoint {
    /// Reads the three lines; extension lines, leading zeroes and every other second spelling are refused.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let lines: Vec<&str> = text.split('\n').collect();
        let [origin, size, root, ""] = lines[..] else {
            return Err(NoteError::Checkpoint);
        };
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: size.parse().map_err(|_| NoteError::Checkpoint)?,
            root: root.parse().map_err(|_| NoteError::Checkpoint)?,
        };
        if !origin.is_empty() && checkpoint.text() == text {
            Ok(checkpoint)
        } else {
            Err(NoteError::Checkpoint)
        }
    }

    /// The three lines.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// Signs it as the log that it names.
    ///
    /// # Panics
    /// If the origin holds a line break or another control character, which no configured origin does.
    #[must_use]
    pub fn sign(&self, signer: &NoteSigner) -> SignedCheckpoint {
        let text = self.text();
        let line = signer.line(text.as_bytes(), None);
        let note = signed_note::Note::new(text.as_bytes(), std::slice::from_ref(&line));
        let note = note.expect("three lines without control characters are a note");
        SignedCheckpoint {
            checkpoint: self.clone(),
            note,
            lines: vec![line],
        }
    }
}

impl SignedCheckpoint {
    /// Reads a signed note whose text is a checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let note = signed_note::Note::from_bytes(bytes).map_err(|_| NoteError::Note)?;
        let text = std::str::from_utf8(note.text()).map_err(|_| NoteError::Note)?;
        let checkpoint = Checkpoint::parse(text)?;
        // The crate keeps a note's lines to itself, so they are read again from the bytes that it has accepted.
        let lines = bytes[note.text().len() + 1..]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let lines = lines.map(signed_note::Signature::from_bytes).collect::<Result<_, _>>();
        Ok(Self {
            checkpoint,
            note,
            lines: lines.map_err(|_| NoteError::Note)?,
        })
    }

    /// The checkpoint; to be believed only after asking who signed it.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note as it is stored, served and put into proofs.
    ///
    /// # Panics
    /// Never: a note is UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.note.to_bytes()).expect("a note is UTF-8")
    }

    /// Which of these keys have signed it. A key whose line does not verify is an error, however many others do.
    pub fn verified_by(&self, keys: &[NoteKey]) -> Result<Vec<Signed>, NoteError> {
        let verifiers = keys
            .iter()
            .map(|key| Box::new(key.clone()) as Box<dyn signed_note::Verifier>);
        let known = signed_note::VerifierList::new(verifiers.collect());
        let (verified, _) = self.note.verify(&known).map_err(|error| match error {
            signed_note::NoteError::InvalidSignature { name, .. } => NoteError::Signature(name),
            signed_note::NoteError::UnverifiedNote => NoteError::Unsigned,
            _ => NoteError::Note,
        })?;
        let signed = |line: &signed_note::Signature| {
            let key = keys
                .iter()
                .find(|key| key.name() == line.name() && key.id() == line.id())?;
            Some(Signed {
                key: key.clone(),
                at: key.time(line.signature()),
            })
        };
        Ok(verified.iter().filter_map(signed).collect())
    }

    /// A witness's line for this checkpoint: that it extends everything the witness had seen of this log by `now`.
    #[must_use]
    pub fn cosign(&self, witness: &NoteSigner, now: Timestamp) -> String {
        let line = witness.line(self.note.text(), Some(now));
        String::from_utf8_lossy(&line.to_bytes()).into_owned()
    }

    /// The same note with the lines that a witness answered added, each in place of an older one of the same key.
    pub fn with_lines(&self, lines: &str) -> Result<Self, NoteError> {
        let added = lines
            .lines()
            .map(|line| signed_note::Signature::from_bytes(line.as_bytes()));
        let added: Vec<_> = added.collect::<Result<_, _>>().map_err(|_| NoteError::Note)?;
        let replaced =
            |old: &&signed_note::Signature| !added.iter().any(|new| new.name() == old.name() && new.id() == old.id());
        let lines: Vec<_> = self.lines.iter().filter(replaced).chain(&added).cloned().collect();
        let note = signed_note::Note::new(self.note.text(), &lines).map_err(|_| NoteError::Note)?;
        Ok(Self {
            checkpoint: self.checkpoint.clone(),
            note,
            lines,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::merkle::record_hash;

    pub(crate) fn log() -> NoteSigner {
        NoteSigner::new(KeyType::Log, "log.example/dsr", &[1; 32]).unwrap()
    }

    pub(crate) fn witness(number: u8) -> NoteSigner {
        NoteSigner::new(
            KeyType::Witness,
            &format!("witness{number}.example"),
            &[100 + number; 32],
        )
        .unwrap()
    }

    pub(crate) fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "log.example/dsr".into(),
            size: 1,
            root: record_hash(b"leaf"),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_777_885_300).unwrap()
    }

    #[test]
    fn signs_and_cosigns_what_reads_back() {
        let signed = checkpoint().sign(&log());
        let (first, second) = (witness(1), witness(2));
        let lines = format!("{}{}", signed.cosign(&first, now()), signed.cosign(&second, now()));
        let cosigned = signed.with_lines(&lines).unwrap();
        let read = SignedCheckpoint::parse(cosigned.text().as_bytes()).unwrap();
        assert_eq!(read, cosigned);
        assert_eq!(read.checkpoint(), &checkpoint());
        let keys = [log().key().clone(), second.key().clone()];
        let [log, seen] = &read.verified_by(&keys).unwrap()[..] else {
            panic!("two known keys signed")
        };
        assert_eq!((log.key.name(), log.at), ("log.example/dsr", None));
        assert_eq!((seen.key.name(), seen.at), ("witness2.example", Some(now())));
        // A later line of the same witness takes the place of the earlier.
        let later = now() + jiff::SignedDuration::from_secs(60);
        let again = read.with_lines(&read.cosign(&second, later)).unwrap();
        assert_eq!(again.text().lines().count(), read.text().lines().count());
        assert_eq!(again.verified_by(&keys).unwrap()[1].at, Some(later));
    }

    #[test]
    fn one_wrong_bit_condemns_the_note() {
        let signed = checkpoint().sign(&log());
        let witness = witness(1);
        let text = signed.with_lines(&signed.cosign(&witness, now())).unwrap().text();
        let keys = [log().key().clone(), witness.key().clone()];
        let read = |text: &str| SignedCheckpoint::parse(text.as_bytes())?.verified_by(&keys);
        assert_eq!(read(&text).map(|signed| signed.len()), Ok(2));
        assert_eq!(
            read(&text.replace("\n1\n", "\n2\n")),
            Err(NoteError::Signature("log.example/dsr".into()))
        );
        assert_eq!(
            read(&text.replace("log.example/dsr", "log.example/dsq")).map(|s| s.len()),
            Err(NoteError::Signature("witness1.example".into()))
        );
        // The last character before the padding: the witness's signature itself.
        let at = text.rfind('=').unwrap() - 4;
        let flipped = if &text[at..=at] == "A" { "B" } else { "A" };
        let bent = format!("{}{flipped}{}", &text[..at], &text[at + 1..]);
        assert_eq!(read(&bent), Err(NoteError::Signature("witness1.example".into())));
        let stranger = [NoteSigner::new(KeyType::Log, "log.example/dsr", &[2; 32])
            .unwrap()
            .key()
            .clone()];
        let read = SignedCheckpoint::parse(text.as_bytes()).unwrap();
        assert_eq!(read.verified_by(&stranger), Err(NoteError::Unsigned));
    }

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let good = checkpoint().text();
        assert_eq!(Checkpoint::parse(&good), Ok(checkpoint()));
        for (from, to) in [
            ("\n1\n", "\n01\n"),
            ("\n1\n", "\n+1\n"),
            ("\n1\n", "\n-1\n"),
            ("\n1\n", "\n18446744073709551616\n"),
            ("=\n", "=\nextension\n"),
            ("=\n", "="),
            ("=\n", "\n"),
            ("=\n", "=\n\n"),
            ("log.example/dsr", ""),
        ] {
            assert_eq!(
                Checkpoint::parse(&good.replace(from, to)),
                Err(NoteError::Checkpoint),
                "{from:?} {to:?}"
            );
        }
        for bytes in [&b""[..], b"\n", good.as_bytes(), &[0xff]] {
            assert_eq!(SignedCheckpoint::parse(bytes), Err(NoteError::Note));
        }
        let signed = checkpoint().sign(&log()).text();
        for bad in [signed.replace('—', "-"), signed.trim_end().to_owned(), signed + "\n"] {
            assert_eq!(SignedCheckpoint::parse(bad.as_bytes()), Err(NoteError::Note), "{bad}");
        }
    }

    /// Written by Go's `golang.org/x/mod/sumdb/note` (the example of its documentation, whose text is no checkpoint).
    #[test]
    fn agrees_with_go_about_keys_and_signatures() {
        let key: NoteKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
            .parse()
            .unwrap();
        let skey = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let signer = NoteSigner::parse(skey).unwrap();
        assert_eq!(signer.key(), &key);
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let line = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert_eq!(
            String::from_utf8(signer.line(text.as_bytes(), None).to_bytes()).unwrap(),
            line
        );
    }
}
