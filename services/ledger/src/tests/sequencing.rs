use evidence::merkle::verify::verify_consistency;
use evidence::note::SignedCheckpoint;
use platform::chance;

use super::*;

#[tokio::test]
async fn a_thousand_entries_in_random_batches_are_proved_and_numbered_without_gaps() {
    on_each_engine(async |bench| {
        bench.requests(1..=50).await;
        let entries: Vec<Entry> = (1..=1_000)
            .map(|number| receipt(number, number % 3, number % 50 + 1))
            .collect();
        let (mut sequencer, mut rest, mut checkpoints) = (bench.sequencer(), &entries[..], Vec::new());
        while !rest.is_empty() {
            let [size] = chance::bytes::<1>(&*bench.rng);
            let (some, others) = rest.split_at(rest.len().min(usize::from(size) + 1));
            bench.put(some).await;
            assert_eq!(sequencer.turn().await.unwrap(), Turn::Appended(some.len()));
            checkpoints.push(bench.archive().checkpoint().await.unwrap().unwrap());
            rest = others;
        }
        assert_eq!(sequencer.turn().await.unwrap(), Turn::Idle);

        let mut verified = Vec::new();
        for entry in &entries {
            let one = bench.prove(entry.id).await;
            assert_eq!((&one.entry, one.size), (entry, 1_000));
            assert_eq!(
                one.index,
                verified.len() as u64,
                "the log keeps the order in which entries came"
            );
            verified.push(one);
        }
        for (owner, numbers) in sequences(&verified) {
            assert!(
                numbers.iter().copied().eq(1..=numbers.len() as u64),
                "{owner}: {numbers:?}"
            );
        }
        let last = checkpoints.last().unwrap().checkpoint().clone();
        for earlier in checkpoints.iter().map(SignedCheckpoint::checkpoint) {
            let proof = bench
                .archive()
                .consistency(earlier.size, last.size)
                .await
                .unwrap()
                .unwrap();
            verify_consistency(earlier.size, earlier.root, last.size, last.root, &proof).unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn what_comes_again_is_held_once() {
    on_each_engine(async |bench| {
        bench.requests([1]).await;
        let mut sequencer = bench.sequencer();
        let entries = [receipt(1, 1, 1), receipt(2, 1, 1)];
        bench.put(&entries).await;
        bench.put(&entries[..1]).await;
        assert_eq!(sequencer.turn().await.unwrap(), Turn::Appended(2));
        bench.put(&entries).await;
        assert_eq!(sequencer.turn().await.unwrap(), Turn::Appended(2));
        assert_eq!(bench.prove(entry_id(1)).await.size, 2);
    })
    .await;
}

#[tokio::test]
async fn one_of_two_works_until_it_is_not_heard_of() {
    on_each_engine(async |bench| {
        let (mut one, mut two) = (bench.sequencer(), Sequencer::new(bench.parts("two")));
        bench.put(&[key_event(1, 1)]).await;
        assert_eq!(one.turn().await.unwrap(), Turn::Appended(1));
        bench.put(&[key_event(2, 1)]).await;
        assert_eq!(two.turn().await.unwrap(), Turn::Standby);

        bench.clock.advance(HOLD + Duration::from_secs(1));
        assert_eq!(two.turn().await.unwrap(), Turn::Appended(1));
        bench.put(&[key_event(3, 1)]).await;
        // Its edge is old and so is its fence; it must notice one of them before it writes.
        assert_eq!(one.turn().await.unwrap(), Turn::Standby);
        assert_eq!(two.turn().await.unwrap(), Turn::Appended(1));
        assert_eq!(bench.prove(entry_id(3)).await.controller_seq, 3);

        two.release().await.unwrap();
        bench.put(&[key_event(4, 1)]).await;
        assert_eq!(one.turn().await.unwrap(), Turn::Appended(1));
        assert_eq!(bench.prove(entry_id(4)).await.index, 3);
    })
    .await;
}

/// A holder whose clock stands still believes that it holds the log; the fence knows better.
#[tokio::test]
async fn a_holder_that_slept_can_not_append() {
    on_each_engine(async |bench| {
        let slow = ManualClock::at(at(0));
        let mut parts = bench.parts("slow");
        parts.clock = slow;
        let (mut sleeper, mut other) = (Sequencer::new(parts), Sequencer::new(bench.parts("two")));
        bench.put(&[key_event(1, 1)]).await;
        assert_eq!(sleeper.turn().await.unwrap(), Turn::Appended(1));
        bench.clock.advance(HOLD + Duration::from_secs(1));
        assert_eq!(other.turn().await.unwrap(), Turn::Idle);
        bench.put(&[key_event(2, 1)]).await;
        assert_eq!(sleeper.turn().await.unwrap(), Turn::Standby);
        assert_eq!(other.turn().await.unwrap(), Turn::Appended(1));
    })
    .await;
}

#[tokio::test]
async fn bytes_are_sealed_and_gone_with_their_key() {
    on_each_engine(async |bench| {
        bench.requests([1]).await;
        bench.put(&[receipt(1, 1, 1), receipt(2, 1, 2), key_event(3, 1)]).await;
        bench.sequencer().turn().await.unwrap();
        let archive = bench.archive();
        let (first, second, third) = (bench.held(1).await, bench.held(2).await, bench.held(3).await);
        let stored = bench.bodies().await;
        let holds =
            |body: &Option<Vec<u8>>, entry: Entry| body.as_ref().is_some_and(|body| body.ends_with(&entry.encode()));
        assert!(holds(&stored[2], key_event(3, 1)) && !holds(&stored[0], receipt(1, 1, 1)));

        assert_eq!(
            archive.open_one(&first).await.unwrap().unwrap().bytes,
            receipt(1, 1, 1).encode()
        );
        // Request 2 never had a key, or has none any more: its leaf is logged and its bytes are not.
        assert_eq!(second.controller_seq, 2);
        assert_eq!(archive.open_one(&second).await.unwrap(), None);
        assert_eq!(
            archive.open_one(&third).await.unwrap().unwrap().bytes,
            key_event(3, 1).encode()
        );

        bench.keys.shred(keys::Class::Evidence, &[request(1)]).await.unwrap();
        assert_eq!(archive.open_one(&first).await.unwrap(), None);
        assert_eq!(bench.prove(entry_id(3)).await.controller_seq, 3);
    })
    .await;
}

/// What a batch costs must not grow with the log: it reads the right edge and nothing else of the tree.
#[tokio::test]
async fn a_full_batch_asks_for_another_turn() {
    on_each_engine(async |bench| {
        let mut parts = bench.parts("one");
        parts.batch_max = 10;
        let mut sequencer = Sequencer::new(parts);
        bench
            .put(&(1..=25).map(|number| key_event(number, 1)).collect::<Vec<_>>())
            .await;
        assert_eq!(sequencer.turn().await.unwrap(), Turn::Full);
        assert_eq!(sequencer.turn().await.unwrap(), Turn::Full);
        assert_eq!(sequencer.turn().await.unwrap(), Turn::Appended(5));
        assert_eq!(bench.prove(entry_id(25)).await.size, 25);
    })
    .await;
}
