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
mod tests {
    use std::path::Path as FilePath;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::Deserialize;

    use super::*;
    use crate::merkle::grow::Edge;
    use crate::merkle::grow::tests::{Rows, leaf};
    use crate::merkle::prove::{consistency_needs, inclusion_needs, prove_consistency, prove_inclusion};

    #[derive(Deserialize)]
    struct Vectors {
        inclusion: Vec<Inclusion>,
        consistency: Vec<Consistency>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Inclusion {
        leaf_idx: u64,
        tree_size: u64,
        root: String,
        leaf_hash: String,
        proof: Option<Vec<String>>,
        want_err: bool,
        case: String,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Consistency {
        size1: u64,
        size2: u64,
        root1: String,
        root2: String,
        proof: Option<Vec<String>>,
        want_err: bool,
        case: String,
    }

    fn bytes(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    fn proof(lines: Option<&Vec<String>>) -> Vec<Vec<u8>> {
        lines.into_iter().flatten().map(|line| bytes(line)).collect()
    }

    /// transparency-dev/merkle's cases, which are read where they lie and are no part of this project.
    #[test]
    fn agrees_with_the_published_cases() {
        let file = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/rfc6962.json");
        let Ok(text) = std::fs::read_to_string(&file) else {
            eprintln!("skipped: {} is not there", file.display());
            return;
        };
        let vectors: Vectors = serde_json::from_str(&text).unwrap();
        assert_eq!((vectors.inclusion.len(), vectors.consistency.len()), (98, 98));
        for case in &vectors.inclusion {
            let (leaf, root) = (bytes(&case.leaf_hash), bytes(&case.root));
            let steps = proof(case.proof.as_ref());
            let result = verify_inclusion(case.leaf_idx, case.tree_size, leaf, root, &steps);
            assert_eq!(result.is_err(), case.want_err, "{}: {result:?}", case.case);
        }
        for case in &vectors.consistency {
            let (old, new) = (bytes(&case.root1), bytes(&case.root2));
            let steps = proof(case.proof.as_ref());
            let result = verify_consistency(case.size1, old, case.size2, new, &steps);
            assert_eq!(result.is_err(), case.want_err, "{}: {result:?}", case.case);
        }
    }

    /// Every tree up to 70 leaves, and every single-bit change of every proof.
    #[test]
    fn refuses_each_bit_changed() {
        let (mut edge, mut rows, mut roots) = (Edge::default(), Rows::default(), vec![crate::merkle::EMPTY_ROOT]);
        for number in 0..70 {
            rows.write(edge.append([leaf(number)]));
            roots.push(edge.root());
        }
        let flipped = |proof: &[Hash], bit: usize| {
            let mut proof = proof.to_vec();
            proof[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
            proof
        };
        for size in [1, 2, 3, 6, 7, 8, 33, 64, 70u64] {
            let root = roots[usize::try_from(size).unwrap()];
            for index in 0..size {
                let proof = prove_inclusion(index, size, &rows.read(&inclusion_needs(index, size).unwrap())).unwrap();
                let verify = |proof: &[Hash]| verify_inclusion(index, size, leaf(index), root, proof);
                assert_eq!(verify(&proof), Ok(()));
                assert!(verify_inclusion(index, size, leaf(index + 1), root, &proof).is_err());
                assert!(verify_inclusion(index ^ 1, size, leaf(index), root, &proof).is_err());
                assert!(
                    (0..proof.len() * 256)
                        .step_by(37)
                        .all(|bit| verify(&flipped(&proof, bit)).is_err())
                );
                assert_eq!(verify(&[proof.clone(), vec![root]].concat()), Err(ProofError::Length));
            }
            for old in 1..size {
                let old_root = roots[usize::try_from(old).unwrap()];
                let tiles = rows.read(&consistency_needs(old, size).unwrap());
                let proof = prove_consistency(old, size, &tiles).unwrap();
                let verify = |proof: &[Hash]| verify_consistency(old, old_root, size, root, proof);
                assert_eq!(verify(&proof), Ok(()));
                assert!(
                    (0..proof.len() * 256)
                        .step_by(37)
                        .all(|bit| verify(&flipped(&proof, bit)).is_err())
                );
                assert!(verify(&proof[1..]).is_err());
                assert!(verify_consistency(old, root, size, old_root, &proof).is_err());
            }
        }
    }

    /// The same trees through an implementation that shares no code with ours.
    #[test]
    fn agrees_with_ct_merkle() {
        let mut theirs = ct_merkle::mem_backed_tree::MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        let (mut edge, mut rows) = (Edge::default(), Rows::default());
        let mut old = None;
        for number in 0..700u64 {
            theirs.push(number.to_be_bytes().to_vec());
            rows.write(edge.append([leaf(number)]));
            let size = number + 1;
            assert_eq!(edge.root().as_ref(), theirs.root().as_bytes().as_slice(), "{size}");
            if size % 97 != 0 {
                continue;
            }
            for index in (0..size).step_by(41) {
                let tiles = rows.read(&inclusion_needs(index, size).unwrap());
                let ours = prove_inclusion(index, size, &tiles).unwrap();
                let bytes: Vec<u8> = ours.iter().flat_map(|hash| hash.0).collect();
                assert_eq!(
                    bytes,
                    theirs.prove_inclusion(usize::try_from(index).unwrap()).as_bytes()
                );
            }
            if let Some(old) = old.replace(size) {
                let tiles = rows.read(&consistency_needs(old, size).unwrap());
                let ours = prove_consistency(old, size, &tiles).unwrap();
                let bytes: Vec<u8> = ours.iter().flat_map(|hash| hash.0).collect();
                assert_eq!(
                    bytes,
                    theirs
                        .prove_consistency(usize::try_from(size - old).unwrap())
                        .as_bytes()
                );
            }
        }
    }
}
