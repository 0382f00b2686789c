use std::path::Path as FilePath;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::*;
use crate::merkle::grow::Edge;
use crate::merkle::grow::tests::{Rows, leaf};
use crate::merkle::prove::{consistency_needs, inclusion_needs, prove_consistency, prove_inclusion};
use crate::merkle::record_hash;

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

#[derive(Deserialize)]
struct FromGo {
    roots: Vec<GoRoot>,
    inclusion: Vec<GoInclusion>,
    consistency: Vec<GoConsistency>,
}

#[derive(Deserialize)]
struct GoRoot {
    size: u64,
    root: Hash,
}

#[derive(Deserialize)]
struct GoInclusion {
    size: u64,
    index: u64,
    leaf_hash: Hash,
    root: Hash,
    proof: Vec<Hash>,
    wrong: Option<String>,
}

#[derive(Deserialize)]
struct GoConsistency {
    old: u64,
    new: u64,
    old_root: Hash,
    new_root: Hash,
    proof: Vec<Hash>,
    wrong: Option<String>,
}

/// Go's `sumdb/tlog` made these; leaf i is the text `leaf i`. Their roots and proofs are ours byte for byte, and what
/// they refuse we refuse.
#[test]
fn agrees_with_go() {
    let go: FromGo = serde_json::from_str(include_str!("../../../../../tests/vectors/merkle-go.json")).unwrap();
    let (mut edge, mut rows) = (Edge::default(), Rows::default());
    for GoRoot { size, root } in &go.roots {
        let leaves = edge.size()..*size;
        rows.write(edge.append(leaves.map(|number| record_hash(format!("leaf {number}").as_bytes()))));
        assert_eq!(edge.root(), *root, "{size}");
    }
    for case in &go.inclusion {
        let result = verify_inclusion(case.index, case.size, case.leaf_hash, case.root, &case.proof);
        assert_eq!(
            result.is_err(),
            case.wrong.is_some(),
            "{}/{}: {:?}",
            case.index,
            case.size,
            case.wrong
        );
        if case.wrong.is_none() {
            let tiles = rows.read(&inclusion_needs(case.index, case.size).unwrap());
            assert_eq!(prove_inclusion(case.index, case.size, &tiles).as_ref(), Ok(&case.proof));
        }
    }
    for case in &go.consistency {
        let result = verify_consistency(case.old, case.old_root, case.new, case.new_root, &case.proof);
        assert_eq!(
            result.is_err(),
            case.wrong.is_some(),
            "{}..{}: {:?}",
            case.old,
            case.new,
            case.wrong
        );
        if case.wrong.is_none() {
            let tiles = rows.read(&consistency_needs(case.old, case.new).unwrap());
            assert_eq!(prove_consistency(case.old, case.new, &tiles).as_ref(), Ok(&case.proof));
        }
    }
    assert!(go.inclusion.iter().filter(|case| case.wrong.is_some()).count() > 50);
}
