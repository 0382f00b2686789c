//! What a stranger runs: is this leaf in that tree, is this tree a prefix of that one?
//!
//! RFC 9162 §2.1.3.2 and §2.1.4.2 step by step, over bytes that anyone may have sent: lengths are checked before
//! anything is hashed, and no input makes it panic or loop longer than a proof can be.

use super::{Hash, NotAHash, node_hash};

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index lies outside the tree, or the old tree is empty or larger than the new one.
    #[error("the tree has no such leaf or earlier tree")]
    OutOfRange,
    /// A hash that is not 32 bytes long.
    #[error(transparent)]
    NotAHash(#[from] NotAHash),
    /// More or fewer hashes than the path has.
    #[error("the proof has another number of hashes than its path")]
    Length,
    /// The proof leads to another root than the one that was signed.
    #[error("the proof leads to another root")]
    Root,
    /// The proof does not start from the old tree's root.
    #[error("the proof does not start from the old root")]
    OldRoot,
}

/// Checks that `leaf`, a [`super::record_hash`], is number `index` in the tree of `size` leaves with this `root`.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: impl AsRef<[u8]>,
    root: impl AsRef<[u8]>,
    proof: &[impl AsRef<[u8]>],
) -> Result<(), ProofError> {
    let (leaf, root) = (Hash::try_from(leaf.as_ref())?, Hash::try_from(root.as_ref())?);
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let mut path = Path {
        node: index,
        last: size - 1,
    };
    let mut hash = leaf;
    for step in proof {
        let step = Hash::try_from(step.as_ref())?;
        hash = match path.climb()? {
            Side::Left => node_hash(step, hash),
            Side::Right => node_hash(hash, step),
        };
    }
    path.ends()?;
    if hash == root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `old` leaves with `old_root` is a prefix of the one of `size` leaves with `root`.
pub fn verify_consistency(
    old: u64,
    old_root: impl AsRef<[u8]>,
    size: u64,
    root: impl AsRef<[u8]>,
    proof: &[impl AsRef<[u8]>],
) -> Result<(), ProofError> {
    if old == 0 || old > size {
        return Err(ProofError::OutOfRange);
    }
    if old == size {
        return same_tree(old_root.as_ref(), root.as_ref(), proof.len());
    }
    let (old_root, root) = (Hash::try_from(old_root.as_ref())?, Hash::try_from(root.as_ref())?);
    let mut steps = proof.iter().map(|step| Hash::try_from(step.as_ref()));
    // A complete old tree is itself the first step, and is left out since the verifier has it.
    let start = if old.is_power_of_two() {
        Some(Ok(old_root))
    } else {
        steps.next()
    };
    let mut path = Path {
        node: old - 1,
        last: size - 1,
    };
    path.skip_right_children();
    let first = start.ok_or(ProofError::Length)??;
    let (mut from, mut to) = (first, first);
    for step in steps {
        let step = step?;
        match path.climb()? {
            Side::Left => (from, to) = (node_hash(step, from), node_hash(step, to)),
            Side::Right => to = node_hash(to, step),
        }
    }
    path.ends()?;
    match (from == old_root, to == root) {
        (true, true) => Ok(()),
        (false, _) => Err(ProofError::OldRoot),
        (true, false) => Err(ProofError::Root),
    }
}

fn same_tree(old_root: &[u8], root: &[u8], steps: usize) -> Result<(), ProofError> {
    match (old_root == root, steps) {
        (true, 0) => Ok(()),
        (true, _) => Err(ProofError::Length),
        (false, _) => Err(ProofError::Root),
    }
}

/// On which side of the hash so far the next step of a proof stands.
enum Side {
    Left,
    Right,
}

/// The way up: the RFC's `fn` and `sn`.
struct Path {
    node: u64,
    last: u64,
}

impl Path {
    /// One step of the RFCs' loops, which are the same in both procedures.
    fn climb(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Length);
        }
        let left = self.node & 1 == 1 || self.node == self.last;
        while left && self.node & 1 == 0 && self.node != 0 {
            self.up();
        }
        self.up();
        Ok(if left { Side::Left } else { Side::Right })
    }

    fn skip_right_children(&mut self) {
        while self.node & 1 == 1 {
            self.up();
        }
    }

    fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    fn ends(&self) -> Result<(), ProofError> {
        if self.last == 0 {
            Ok(())
        } else {
            Err(ProofError::Length)
        }
    }
}

#[cfg(test)]
mod tests;
