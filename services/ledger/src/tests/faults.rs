use evidence::merkle::grow::Edge;
use evidence::note::{Checkpoint, KeyType};
use keys::log_head::Kept;

use super::*;
use crate::fault::Fault;
use crate::hold::Hold;
use crate::sequencer::Role;

#[tokio::test]
async fn a_crash_before_the_signature_is_mended_by_whoever_comes_next() {
    let bench = Bench::new().await;
    let mut sequencer = bench.sequencer();
    bench.put(&[key_event(1, 1)]).await;
    sequencer.turn().await.unwrap();

    // The batch is committed; then the disk refuses the signed head.
    std::fs::rename(bench.file("head"), bench.file("kept")).unwrap();
    std::fs::create_dir(bench.file("head")).unwrap();
    bench.put(&[key_event(2, 1)]).await;
    let fault = sequencer.turn().await.unwrap_err();
    assert!(matches!(fault, Fault::Disk(..)) && fault.is_fatal(), "{fault:?}");
    let published = bench.archive().checkpoint().await.unwrap().unwrap();
    assert_eq!(published.checkpoint().size, 1, "what isn't kept isn't published");
    assert_eq!(bench.archive().entry(entry_id(2)).await.unwrap().unwrap().index, 1);
    let unpublished = bench.archive().prove(1, None).await.unwrap();
    assert_eq!(unpublished, None);

    std::fs::remove_dir(bench.file("head")).unwrap();
    std::fs::rename(bench.file("kept"), bench.file("head")).unwrap();
    assert_eq!(bench.sequencer().turn().await.unwrap(), Turn::Idle);
    assert_eq!(bench.prove(entry_id(2)).await.size, 2);
}

/// Both places of keeping heads refuse what contradicts what they keep.
#[tokio::test]
async fn a_head_is_only_replaced_by_a_larger_one() {
    let bench = Bench::new().await;
    let head = |size, byte| {
        let checkpoint = Checkpoint {
            origin: ORIGIN.into(),
            size,
            root: evidence::merkle::Hash([byte; 32]),
        };
        checkpoint.sign(&bench.signer)
    };
    let key = bench.signer.key();
    for heads in [bench.heads(), HeadKeeper::Keys(bench.keys.db().clone())] {
        assert_eq!(heads.read(key).await.unwrap(), None);
        let steps = [
            (head(5, 1), Kept::Yes),
            (head(5, 1), Kept::Yes),
            (head(5, 2), Kept::Contradicted),
            (head(4, 1), Kept::Contradicted),
            (head(6, 3), Kept::Yes),
        ];
        for (head, expected) in steps {
            assert_eq!(
                heads.keep(&head, key, at(0)).await.unwrap(),
                expected,
                "{heads:?} {head:?}"
            );
        }
        assert_eq!(heads.read(key).await.unwrap(), Some(head(6, 3)));
    }
}

/// A process that was held up between commit and signature finds that another has gone ahead.
#[tokio::test]
async fn a_late_signature_gives_way() {
    let bench = Bench::new().await;
    let (mut late, mut other) = (bench.sequencer(), Sequencer::new(bench.parts("two")));
    bench.put(&[key_event(1, 1)]).await;
    late.turn().await.unwrap();
    let held = bench.held(1).await;
    bench.clock.advance(HOLD * 2);
    bench.put(&[key_event(2, 1)]).await;
    assert_eq!(other.turn().await.unwrap(), Turn::Appended(1));

    let mut edge = Edge::default();
    edge.append([held.leaf.hash()]);
    let (fence, until) = (1, at(0));
    late.publish(Hold { fence, until, edge }).await.unwrap();
    assert_eq!(*late.news().borrow(), Role::Standby);
    assert_eq!(bench.prove(entry_id(2)).await.size, 2);

    // What fits nothing is no delay but a fork.
    let mut edge = Edge::default();
    edge.append([held.leaf.hash(), held.leaf.hash()]);
    std::fs::remove_file(bench.file("head")).unwrap();
    late.publish(Hold {
        fence,
        until,
        edge: edge.clone(),
    })
    .await
    .unwrap();
    let fault = other
        .publish(Hold {
            fence,
            until,
            edge: Edge::default(),
        })
        .await
        .unwrap_err();
    assert!(matches!(fault, Fault::Forked { size: 2 }), "{fault:?}");
}

/// A backup from before the newest entries is brought back.
#[tokio::test]
async fn an_older_database_does_not_start() {
    let bench = Bench::new().await;
    bench.put(&[key_event(1, 1)]).await;
    bench.sequencer().turn().await.unwrap();
    copy(&bench, "ledger.db", "backup.db");
    bench.put(&[key_event(2, 1)]).await;
    bench.sequencer().turn().await.unwrap();

    let mut deps = bench.deps();
    deps.db = open(&bench.file("backup.db")).await;
    let Err(refused) = build(bench.config(), deps.clone()).await else {
        panic!("an older log starts")
    };
    assert!(
        refused
            .to_string()
            .contains("tree of 2 leaves and the database holds 1"),
        "{refused}"
    );
    assert!(matches!(refused, BuildError::Log(Fault::Older { kept: 2, stored: 1 })));

    // Nor does it once it grew on its own: that is a fork.
    let mut parts = bench.parts("one");
    parts.db = deps.db.clone();
    parts.heads = HeadKeeper::File(bench.file("other"));
    let first = bench.archive().oldest_checkpoint().await.unwrap().unwrap();
    std::fs::write(bench.file("other"), first.text()).unwrap();
    let grown = [3, 4].map(|number| Incoming::new(&key_event(number, 1)));
    incoming::put(&parts.db, &grown).await.unwrap();
    Sequencer::new(parts).turn().await.unwrap();
    let refused = build(bench.config(), deps).await.map(drop);
    assert!(
        matches!(refused, Err(BuildError::Log(Fault::Forked { size: 2 }))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_log_without_its_kept_head_does_not_start() {
    let bench = Bench::new().await;
    bench.put(&[key_event(1, 1)]).await;
    bench.sequencer().turn().await.unwrap();
    let head = std::fs::read(bench.file("head")).unwrap();
    std::fs::remove_file(bench.file("head")).unwrap();
    let refused = build(bench.config(), bench.deps()).await.map(drop);
    assert!(
        matches!(refused, Err(BuildError::Log(Fault::NoHead { size: 1 }))),
        "{refused:?}"
    );

    // A head that somebody else has signed says nothing about this log.
    let other = NoteSigner::new(KeyType::Log, ORIGIN, &[9; 32]).unwrap();
    let checkpoint = Checkpoint {
        origin: ORIGIN.into(),
        size: 1,
        root: evidence::merkle::EMPTY_ROOT,
    };
    std::fs::write(bench.file("head"), checkpoint.sign(&other).text()).unwrap();
    let refused = build(bench.config(), bench.deps()).await.map(drop);
    assert!(matches!(refused, Err(BuildError::Log(Fault::Head(_)))), "{refused:?}");
    std::fs::write(bench.file("head"), head).unwrap();
    build(bench.config(), bench.deps()).await.map(drop).unwrap();
}

#[tokio::test]
async fn the_origin_and_the_key_never_change() {
    let bench = Bench::new().await;
    build(bench.config(), bench.deps()).await.map(drop).unwrap();
    let mut config = bench.config();
    config.origin = "elsewhere.example/dsr".into();
    let refused = build(config, bench.deps()).await.map(drop);
    assert!(
        matches!(refused, Err(BuildError::Log(Fault::Origin { .. }))),
        "{refused:?}"
    );
    let mut config = bench.config();
    config.log_key = bench.file("another.key");
    log_key::create(&config.log_key, &*bench.rng).unwrap();
    let refused = build(config, bench.deps()).await.map(drop);
    assert!(
        matches!(refused, Err(BuildError::Log(Fault::Key { .. }))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_changed_database_is_not_appended_to() {
    let changes = [
        "UPDATE tile SET content = zeroblob(64) WHERE level = 0",
        "DELETE FROM tile",
        "UPDATE log SET root = zeroblob(32)",
        "DELETE FROM entry WHERE leaf_index = 1",
    ];
    for change in changes {
        let bench = Bench::new().await;
        bench.put(&[key_event(1, 1), key_event(2, 1)]).await;
        bench.sequencer().turn().await.unwrap();
        bench.spoil(change).await;
        let fault = bench.sequencer().turn().await.unwrap_err();
        assert!(fault.is_fatal(), "{change}: {fault:?}");
    }
}

/// Changed bytes are never handed out, since they don't lead to their leaf.
#[tokio::test]
async fn a_changed_entry_is_not_handed_out() {
    let bench = Bench::new().await;
    bench.put(&[key_event(1, 1)]).await;
    bench.sequencer().turn().await.unwrap();
    bench.spoil("UPDATE entry SET controller_seq = 2").await;
    let held = bench.held(1).await;
    assert!(bench.archive().open_one(&held).await.is_err());
}

/// Copies a database as a backup would.
fn copy(bench: &Bench, from: &str, to: &str) {
    for end in ["", "-wal"] {
        std::fs::copy(bench.file(&format!("{from}{end}")), bench.file(&format!("{to}{end}"))).unwrap();
    }
}
