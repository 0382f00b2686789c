//! The tree against Go's: every root, every proof, and every refusal of `tests/vectors/merkle-go.json`.
//!
//! The vectors are made by `tests/goverify` with the Go project's `tlog`, which also judged each broken case.

use std::path::Path;
use std::sync::Arc;

use evidence::merkle::grow::Edge;
use evidence::merkle::prove::{prove_consistency, prove_inclusion, root};
use evidence::merkle::tile::{Tile, Tiles};
use evidence::merkle::verify::{verify_consistency, verify_inclusion};
use evidence::merkle::{Hash, record_hash};
use serde::{Deserialize, Deserializer, de::Error};

#[derive(Deserialize)]
struct Vectors {
    roots: Vec<Root>,
    inclusion: Vec<Inclusion>,
    consistency: Vec<Consistency>,
}

#[derive(Deserialize)]
struct Root {
    size: u64,
    #[serde(deserialize_with = "hash")]
    root: Hash,
}

#[derive(Debug, Deserialize)]
struct Inclusion {
    size: u64,
    index: u64,
    #[serde(deserialize_with = "hash")]
    leaf_hash: Hash,
    #[serde(deserialize_with = "hash")]
    root: Hash,
    #[serde(deserialize_with = "hashes")]
    proof: Vec<Hash>,
    /// What was done to it, if it must be refused.
    wrong: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Consistency {
    old: u64,
    new: u64,
    #[serde(deserialize_with = "hash")]
    old_root: Hash,
    #[serde(deserialize_with = "hash")]
    new_root: Hash,
    #[serde(deserialize_with = "hashes")]
    proof: Vec<Hash>,
    wrong: Option<String>,
}

fn hash<'de, D: Deserializer<'de>>(input: D) -> Result<Hash, D::Error> {
    String::deserialize(input)?.parse().map_err(D::Error::custom)
}

fn hashes<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Hash>, D::Error> {
    let texts = Vec::<String>::deserialize(input)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(D::Error::custom))
        .collect()
}

fn vectors() -> Vectors {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/merkle-go.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The tiles of the largest tree of the vectors, which hold those of all smaller ones.
fn grown(size: u64) -> Tiles {
    let mut tiles = Tiles::default();
    for tile in Edge::default().append((0..size).map(|number| record_hash(format!("leaf {number}").as_bytes()))) {
        tiles.insert(tile.id, Arc::new(Tile::parse(&tile.content).unwrap()));
    }
    tiles
}

#[test]
fn roots_and_proofs_are_those_that_go_makes() {
    let Vectors {
        roots,
        inclusion,
        consistency,
    } = vectors();
    let tiles = grown(roots.iter().map(|case| case.size).max().unwrap());
    assert!(roots.len() > 70 && inclusion.len() > 100 && consistency.len() > 100);
    for case in roots {
        assert_eq!(root(case.size, &tiles), Ok(case.root), "{}", case.size);
    }
    for case in inclusion.iter().filter(|case| case.wrong.is_none()) {
        assert_eq!(
            prove_inclusion(case.index, case.size, &tiles).as_ref(),
            Ok(&case.proof),
            "{case:?}"
        );
    }
    for case in consistency.iter().filter(|case| case.wrong.is_none()) {
        assert_eq!(
            prove_consistency(case.old, case.new, &tiles).as_ref(),
            Ok(&case.proof),
            "{case:?}"
        );
    }
}

#[test]
fn what_go_accepts_and_refuses_we_accept_and_refuse() {
    let Vectors {
        inclusion, consistency, ..
    } = vectors();
    for case in inclusion {
        let verdict = verify_inclusion(case.index, case.size, case.leaf_hash, case.root, &case.proof);
        assert_eq!(verdict.is_err(), case.wrong.is_some(), "{case:?}: {verdict:?}");
    }
    for case in consistency {
        let verdict = verify_consistency(case.old, case.old_root, case.new, case.new_root, &case.proof);
        assert_eq!(verdict.is_err(), case.wrong.is_some(), "{case:?}: {verdict:?}");
    }
}
