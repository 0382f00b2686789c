//! The file that proves one entry: `.tlog-proof` (C2SP tlog-proof), and the one function that checks it.
//!
//! It holds the leaf's index, the way from the leaf to the root, the signed checkpoint, and in its `extra` line the
//! leaf's opening. That line is not authenticated and need not be: an opening that is not the leaf's own leads to
//! another leaf, which the tree does not hold. So a [`Verified`] says: this very entry stood in this controller's
//! sequence at this place when these witnesses looked.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::entry::{Entry, EntryError};
use crate::leaf::{Leaf, LeafError, Opening};
use crate::merkle::Hash;
use crate::merkle::verify::{ProofError, verify_inclusion};
use crate::note::{NoteError, SignedCheckpoint};
use crate::policy::{Policy, Unaccepted};

/// The first line.
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// No way in a tree of 2^64 leaves is longer.
const STEPS_MAX: usize = 64;

/// The longest file: 64 steps are 3 kB, and a hundred post-quantum cosignatures of 5 kB fit beside them.
pub const PROOF_BYTES_MAX: usize = 512 * 1024;

/// What a proof file holds. Parsing it proves nothing.
#[derive(Debug, PartialEq)]
pub struct Proof {
    /// The extra line's bytes; ours is an [`Opening`].
    pub extra: Option<Vec<u8>>,
    /// The leaf's index in the log, from 0.
    pub index: u64,
    /// The way to the root, leaf's sibling first.
    pub steps: Vec<Hash>,
    /// The tree's head.
    pub checkpoint: SignedCheckpoint,
}

/// A text that is not a proof file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// Longer than any proof.
    #[error("a proof file has at most {PROOF_BYTES_MAX} bytes")]
    TooLong,
    /// Not the lines of a proof, or not in their one spelling.
    #[error("not a proof file of {FIRST_LINE}")]
    Form,
    /// The checkpoint in it can't be read.
    #[error(transparent)]
    Checkpoint(#[from] NoteError),
}

/// What holds about an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The entry.
    pub entry: Entry,
    /// Its number in its controller's sequence.
    pub controller_seq: u64,
    /// Its index in the log.
    pub index: u64,
    /// The size of the tree that it was proved in.
    pub size: u64,
    /// Which log.
    pub origin: String,
    /// The witnesses that saw that tree, and when: the entry is older than that.
    pub witnesses: Vec<(String, Timestamp)>,
}

/// Why an entry is not proved.
#[derive(Debug, thiserror::Error)]
pub enum WhyNot {
    /// The bytes are no entry.
    #[error("the entry can't be read")]
    Entry(#[from] EntryError),
    /// The proof has no `extra` line.
    #[error("the proof has no `extra` line, so the leaf can't be computed")]
    NoOpening,
    /// The extra line is no opening.
    #[error("the proof's `extra` line can't be read")]
    Opening(#[from] LeafError),
    /// The opening speaks of another kind of entry or another controller than the entry does.
    #[error("the opening speaks of another type or controller than the entry")]
    Contradiction,
    /// The checkpoint may not be believed.
    #[error("the checkpoint is not accepted by the policy")]
    Checkpoint(#[from] Unaccepted),
    /// The way does not lead from this entry to that root.
    #[error("the entry is not in the tree at that index")]
    Inclusion(#[from] ProofError),
}

/// Checks that the log holds exactly this entry, where the proof says, in a tree that the policy accepts.
pub fn verify_proof(entry: &[u8], proof: &Proof, policy: &Policy) -> Result<Verified, WhyNot> {
    let read = Entry::decode(entry)?;
    let opening = Opening::parse(proof.extra.as_deref().ok_or(WhyNot::NoOpening)?)?;
    if (opening.entry_type, opening.controller) != (read.entry_type(), read.controller) {
        return Err(WhyNot::Contradiction);
    }
    let accepted = policy.accepts(&proof.checkpoint)?;
    let (size, root) = (accepted.checkpoint.size, accepted.checkpoint.root);
    let leaf = Leaf::commit(&opening, entry).hash();
    verify_inclusion(proof.index, size, leaf, root, &proof.steps)?;
    Ok(Verified {
        entry: read,
        controller_seq: opening.controller_seq,
        index: proof.index,
        size,
        origin: accepted.checkpoint.origin,
        witnesses: accepted.witnesses,
    })
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        write!(f, "\n{}", self.checkpoint.text())
    }
}

impl FromStr for Proof {
    type Err = ProofFileError;
    fn from_str(text: &str) -> Result<Self, ProofFileError> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(ProofFileError::TooLong);
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ProofFileError::Form)?;
        let checkpoint = SignedCheckpoint::parse(checkpoint.as_bytes())?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(ProofFileError::Form);
        }
        let extra = lines
            .next_if(|line| line.starts_with("extra "))
            .map(|line| decode(&line["extra ".len()..]));
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .ok_or(ProofFileError::Form)?;
        let steps: Vec<&str> = lines.take(STEPS_MAX + 1).collect();
        let proof = Self {
            extra: extra.transpose()?,
            index: index.parse().map_err(|_| ProofFileError::Form)?,
            steps: steps
                .iter()
                .map(|step| step.parse().map_err(|_| ProofFileError::Form))
                .collect::<Result<_, _>>()?,
            checkpoint,
        };
        let one_spelling = steps.len() <= STEPS_MAX && proof.index.to_string() == index;
        if one_spelling {
            Ok(proof)
        } else {
            Err(ProofFileError::Form)
        }
    }
}

fn decode(base64: &str) -> Result<Vec<u8>, ProofFileError> {
    STANDARD.decode(base64).map_err(|_| ProofFileError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::{entry, receipt};
    use crate::leaf::tests::opening;
    use crate::merkle::grow::Edge;
    use crate::merkle::grow::tests::{Rows, leaf};
    use crate::merkle::prove::{inclusion_needs, prove_inclusion};
    use crate::note::Checkpoint;
    use crate::note::tests::log;

    const INDEX: u64 = 300;

    /// A log of 700 leaves with our entry at 300.
    fn logged() -> (Vec<u8>, Proof, Policy) {
        let entry = entry(receipt());
        let opening = Opening {
            controller: entry.controller,
            ..opening()
        };
        let ours = Leaf::commit(&opening, &entry.encode()).hash();
        let (mut edge, mut rows) = (Edge::default(), Rows::default());
        rows.write(edge.append((0..700).map(|number| if number == INDEX { ours } else { leaf(number) })));
        let tiles = rows.read(&inclusion_needs(INDEX, 700).unwrap());
        let checkpoint = Checkpoint {
            origin: "log.example/dsr".into(),
            size: 700,
            root: edge.root(),
        };
        let proof = Proof {
            extra: Some(opening.bytes().to_vec()),
            index: INDEX,
            steps: prove_inclusion(INDEX, 700, &tiles).unwrap(),
            checkpoint: checkpoint.sign(&log()),
        };
        (entry.encode(), proof, Policy::of_log(log().key().clone()))
    }

    #[test]
    fn proves_an_entry_from_files_alone() {
        let (bytes, proof, policy) = logged();
        let text = proof.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "));
        let read: Proof = text.parse().unwrap();
        assert_eq!(read, proof);
        let verified = verify_proof(&bytes, &read, &policy).unwrap();
        assert_eq!(verified.entry, entry(receipt()));
        assert_eq!(
            (verified.index, verified.size, verified.controller_seq),
            (INDEX, 700, opening().controller_seq)
        );
    }

    #[test]
    fn says_what_does_not_hold() {
        let (bytes, proof, policy) = logged();
        let text = proof.to_string();
        let refused = |bytes: &[u8], text: &str| verify_proof(bytes, &text.parse().unwrap(), &policy).unwrap_err();
        let other = String::from_utf8(bytes.clone())
            .unwrap()
            .replace("declared", "verified");
        assert!(matches!(
            refused(other.as_bytes(), &text),
            WhyNot::Inclusion(ProofError::Root)
        ));
        let earlier = text.replace("index 300", "index 301");
        assert!(matches!(refused(&bytes, &earlier), WhyNot::Inclusion(ProofError::Root)));
        let larger = text.replace("\n700\n", "\n701\n");
        assert!(matches!(
            refused(&bytes, &larger),
            WhyNot::Checkpoint(Unaccepted::Note(NoteError::Signature(_)))
        ));
        let bare = text
            .lines()
            .filter(|line| !line.starts_with("extra"))
            .collect::<Vec<_>>()
            .join("\n")
            + "\n";
        assert!(matches!(refused(&bytes, &bare), WhyNot::NoOpening));
        assert!(matches!(refused(b"{}", &text), WhyNot::Entry(_)));
        let closed = Opening {
            entry_type: crate::entry::EntryType::Closure,
            ..opening()
        };
        let wrong = Proof {
            extra: Some(closed.bytes().to_vec()),
            ..logged().1
        };
        assert!(matches!(
            verify_proof(&bytes, &wrong, &policy),
            Err(WhyNot::Contradiction)
        ));
        let salted = Opening {
            salt: [1; 32],
            ..Opening::parse(proof.extra.as_ref().unwrap()).unwrap()
        };
        let wrong = Proof {
            extra: Some(salted.bytes().to_vec()),
            ..logged().1
        };
        assert!(matches!(
            verify_proof(&bytes, &wrong, &policy),
            Err(WhyNot::Inclusion(ProofError::Root))
        ));
        let mut bent = logged().1;
        bent.steps[3].0[0] ^= 1;
        assert!(matches!(
            verify_proof(&bytes, &bent, &policy),
            Err(WhyNot::Inclusion(ProofError::Root))
        ));
    }

    /// Each character of the file and each byte of the entry counts, whatever it is changed to.
    #[test]
    fn each_changed_character_is_seen() {
        let (bytes, proof, policy) = logged();
        let text = proof.to_string().into_bytes();
        let holds = |bytes: &[u8], text: &[u8]| {
            let file = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            file.is_some_and(|proof| verify_proof(bytes, &proof, &policy).is_ok())
        };
        assert!(holds(&bytes, &text));
        for place in 0..text.len() {
            for other in *b"A0\n" {
                let mut bent = text.clone();
                bent[place] = other;
                assert!(
                    bent == text || !holds(&bytes, &bent),
                    "{place}: {}",
                    char::from(text[place])
                );
            }
        }
        for place in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[place] ^= 1;
            assert!(!holds(&bent, &text), "{place}");
        }
    }

    #[test]
    fn a_proof_file_has_one_spelling() {
        let text = logged().1.to_string();
        for (from, to) in [
            ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2"),
            ("index 300", "index 0300"),
            ("index 300", "index +300"),
            ("index 300", "index 300\nindex 300"),
            ("index 300\n", ""),
            ("extra ", "more x\nextra "),
            ("extra ", "extra !"),
            ("\n\n", "\n"),
            ("=\n\n", "=\nAAAA\n\n"),
        ] {
            assert_ne!(text.replacen(from, to, 1), text, "{from:?}");
            assert!(text.replacen(from, to, 1).parse::<Proof>().is_err(), "{from:?} {to:?}");
        }
        let step = format!("{}\n", crate::merkle::EMPTY_ROOT);
        let long = text.replacen("index 300\n", &format!("index 300\n{}", step.repeat(64)), 1);
        assert_eq!(long.parse::<Proof>(), Err(ProofFileError::Form));
        assert_eq!(
            " ".repeat(PROOF_BYTES_MAX + 1).parse::<Proof>(),
            Err(ProofFileError::TooLong)
        );
    }
}
