//! A log made by `evidence` alone, left for the second opinion (`tests/goverify`) to judge.

use std::sync::Arc;

use domain::id::ControllerId;
use evidence::entry::EntryType;
use evidence::leaf::{Leaf, Opening};
use evidence::merkle::grow::{Edge, Written};
use evidence::merkle::prove::{prove_consistency, prove_inclusion};
use evidence::merkle::tile::{Tile, Tiles};
use evidence::merkle::verify::verify_consistency;
use evidence::note::{Checkpoint, KeyType, NoteSigner, SignedCheckpoint};
use evidence::policy::Policy;
use evidence::proof::Proof;
use tests::second_opinion::Sample;
use uuid::Uuid;

const ORIGIN: &str = "log.example/evidence";
/// Past one full tile, so that the proof climbs a level of tiles.
const SIZE: u64 = 700;
const OLD: u64 = 300;
const INDEX: u64 = 257;

const ENTRY: &[u8] = br#"{"v":1,"entry":"what happened"}"#;

fn opening(number: u64) -> Opening {
    let controller = ControllerId::from_uuid(Uuid::from_u128(7));
    Opening {
        salt: [5; 32],
        entry_type: EntryType::Receipt,
        controller,
        controller_seq: number,
    }
}

fn leaf(number: u64) -> Leaf {
    Leaf::commit(&opening(number), ENTRY)
}

fn checkpoint(edge: &Edge, log: &NoteSigner) -> String {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size: edge.size(),
        root: edge.root(),
    }
    .sign(log)
    .text()
}

fn store(tiles: &mut Tiles, written: Vec<Written>) {
    for tile in written {
        tiles.insert(tile.id, Arc::new(Tile::parse(&tile.content).unwrap()));
    }
}

#[test]
fn a_log_of_ours_is_left_for_the_second_opinion() {
    let log = NoteSigner::new(KeyType::Log, ORIGIN, &[3; 32]).unwrap();
    let (mut edge, mut tiles) = (Edge::default(), Tiles::default());
    store(&mut tiles, edge.append((0..OLD).map(|number| leaf(number).hash())));
    let (old_root, old_checkpoint) = (edge.root(), checkpoint(&edge, &log));
    store(&mut tiles, edge.append((OLD..SIZE).map(|number| leaf(number).hash())));
    let consistency = prove_consistency(OLD, SIZE, &tiles).unwrap();
    verify_consistency(OLD, old_root, SIZE, edge.root(), &consistency).unwrap();
    let proof = Proof {
        extra: Some(opening(INDEX).bytes().to_vec()),
        index: INDEX,
        steps: prove_inclusion(INDEX, SIZE, &tiles).unwrap(),
        checkpoint: SignedCheckpoint::parse(checkpoint(&edge, &log).as_bytes()).unwrap(),
    };
    assert!(Policy::of_log(log.key().clone()).accepts(&proof.checkpoint).is_ok());
    let judged = leaf(INDEX);
    let sample = Sample {
        vkey: &log.key().to_string(),
        checkpoint: &checkpoint(&edge, &log),
        old_checkpoint: &old_checkpoint,
        consistency: &consistency,
        proof: &proof.to_string(),
        leaf: judged.bytes(),
        entry: ENTRY,
    };
    sample.leave("evidence");
}
