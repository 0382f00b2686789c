//! How fast the arithmetic is: `cargo run --release -p evidence --example rates`.
//!
//! Each figure stands beside its floor, measured in the same run: a token's verification beside the signature check
//! alone, over the same bytes with the same library. One core, one thread, the best of many rounds, because a
//! shared machine only ever adds time.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::{RequestId, TaskId};
use domain::receipt::{CategoryOutcome, CategoryResult, Completion, Outcome, Report};
use evidence::jwk::{Algorithm, TokenKey};
use evidence::merkle::grow::Edge;
use evidence::merkle::prove::{inclusion_needs, prove_inclusion};
use evidence::merkle::tile::{Tile, Tiles};
use evidence::merkle::verify::verify_inclusion;
use evidence::merkle::{Hash, record_hash};
use evidence::token::sign::{Claims, sign_report};
use evidence::token::{RegisteredKey, verify};
use jiff::Timestamp;
use uuid::Uuid;

const LEAVES: u64 = 1 << 20;
const BATCH: u64 = 1 << 13;
/// Many short rounds, so that some of them have the core to themselves.
const ROUNDS: u32 = 300;

fn main() {
    tree();
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        tokens(algorithm);
    }
}

/// The shortest of all rounds, per call.
fn best(calls: u32, mut call: impl FnMut()) -> Duration {
    let round = |call: &mut dyn FnMut()| {
        let started = Instant::now();
        for _ in 0..calls {
            call();
        }
        started.elapsed() / calls
    };
    (0..ROUNDS).map(|_| round(&mut call)).min().unwrap_or_default()
}

fn tree() {
    let leaf = |number: u64| {
        let mut leaf = [0; 49];
        leaf[41..].copy_from_slice(&number.to_be_bytes());
        record_hash(&leaf)
    };
    let append = best(1, || {
        black_box(Edge::default().append((0..BATCH).map(leaf)));
    });
    println!("append            {:>9.0} leaves/s", per_second(BATCH, append));
    let mut edge = Edge::default();
    let mut tiles = Tiles::default();
    for tile in edge.append((0..LEAVES).map(leaf)) {
        tiles.insert(tile.id, Arc::new(Tile::parse(&tile.content).expect("just written")));
    }
    let batch = best(20, || {
        black_box(edge.clone().append((0..100).map(leaf)));
    });
    println!("append 100 at 1 M {batch:>12.2?}");
    proofs(&edge, &tiles, leaf);
}

fn proofs(edge: &Edge, tiles: &Tiles, leaf: impl Fn(u64) -> Hash) {
    let mut index = 0;
    let mut next = || {
        index = (index + 7_919) % LEAVES;
        index
    };
    let prove = best(100, || {
        let index = next();
        black_box(inclusion_needs(index, LEAVES)).expect("in range");
        black_box(prove_inclusion(index, LEAVES, tiles)).expect("all tiles are there");
    });
    println!("prove at 1 M      {prove:>12.2?} (tiles named and read)");
    let proof = prove_inclusion(123_456, LEAVES, tiles).expect("all tiles are there");
    let (leaf, root) = (leaf(123_456), edge.root());
    let check = best(100, || {
        verify_inclusion(123_456, LEAVES, leaf, root, &proof).expect("it holds");
    });
    println!("verify inclusion  {check:>12.2?} ({} steps)", proof.len());
}

fn tokens(algorithm: Algorithm) {
    let key = TokenKey::new(algorithm, &[7; 32]).expect("a key");
    let token = receipt(&key);
    let registered = RegisteredKey::new("https://nablus-sweets.example", &key.jwk());
    let whole = best(10, || {
        let keys = |_: &str, _: &str| Some(&registered);
        black_box(verify(token.as_bytes(), keys, "https://router.example")).expect("it holds");
    });
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let point = key.jwk().point();
    let alone = best(10, || {
        match algorithm {
            Algorithm::EdDsa => UnparsedPublicKey::new(&ED25519, &point).verify(message.as_bytes(), &signature),
            Algorithm::Es256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).verify(message.as_bytes(), &signature)
            }
        }
        .expect("it holds");
    });
    let share = 100.0 * alone.as_secs_f64() / whole.as_secs_f64();
    let rate = per_second(1, whole);
    println!("verify {algorithm}      {rate:>9.0}/s, {whole:.2?}; signature alone {alone:.2?}: {share:.0} %");
}

fn receipt(key: &TokenKey) -> String {
    let result = |category: &str| CategoryResult {
        category: category.into(),
        outcome: CategoryOutcome::Erased,
        count: Some(42),
        basis: None,
        citation: None,
        erase_after: None,
    };
    let completion = Completion {
        task: TaskId::from_uuid(Uuid::from_u128(1)),
        task_digest: [5; 32],
        outcome: Outcome::Completed,
        results: ["conversations", "orders", "profile"].map(result).to_vec(),
        artifact: None,
        attachments: vec![],
    };
    let claims = Claims {
        issuer: "https://nablus-sweets.example",
        audience: "https://router.example",
        issued_at: Timestamp::from_second(1_777_885_300).expect("an instant"),
        occurred_at: None,
        jti: Uuid::from_u128(3),
        request: RequestId::from_uuid(Uuid::from_u128(2)),
    };
    sign_report(&claims, &Report::Completed(completion), key)
}

#[expect(clippy::cast_precision_loss, reason = "a rate is read, not computed with")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
