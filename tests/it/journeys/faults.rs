//! What holds when the router's own parts are away.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use domain::request::Closing;
use platform::lifecycle::Ended;
use tests::harness::patience::eventually;
use tests::harness::{DELETE, Person, Place, Router, key, run};
use tests::parts::kafka::Kafka;
use tests::parts::postgres::Postgres;
use tests::parts::{kafka, postgres};

mod cluster {
    use super::*;

    /// The doors say when to come again, nothing is half-written, and afterwards everything goes on.
    #[test]
    fn the_database_is_away() {
        run(async {
            let mut server = Postgres::start().await.unwrap();
            let router = Router::start(Place::on(server.server(), kafka::shared()).await).await;
            let client = router.client("database-away").await;
            let (person, again) = (Person::new(), key());
            let (sent, body) = (client.whatsapp(&person, DELETE), client.rest("deletion", &person));
            server.kill_dash_nine();
            for answer in [router.deliver(&sent).await, router.post_request(&body, &again).await] {
                assert_eq!(answer.status, 503, "{answer:?}");
                assert!(answer.retry_after.is_some(), "{answer:?}");
            }
            assert_eq!(router.get("/readyz").await.status, 503);
            assert_eq!(router.get("/healthz").await.status, 200);
            server.restart().await.unwrap();
            eventually("it is ready again", || async {
                let status = router.get("/readyz").await.status;
                if status == 200 { Ok(()) } else { Err(status.to_string()) }
            })
            .await;
            assert_eq!(client.requests().await, [], "nothing was half-written");
            let case = client.hears(&sent).await;
            client.done(&case, Closing::Fulfilled).await;
            let case = router.case(router.post_request(&body, &again).await.accepted());
            client.done(&case, Closing::Fulfilled).await;
            assert_eq!(router.shut_down().await, Ended::Asked);
        });
    }

    /// Intake keeps accepting and stays ready; the backlog drains when Kafka is back.
    #[test]
    fn kafka_is_away() {
        run(async {
            let mut brokers = Kafka::start().await.unwrap();
            let router = Router::start(Place::on(&postgres::shared(), &brokers.bootstrap()).await).await;
            let client = router.client("kafka-away").await;
            brokers.kill_dash_nine();
            let mut cases = vec![];
            for _ in 0..20 {
                cases.push(client.hears(&client.whatsapp(&Person::new(), DELETE)).await);
            }
            assert_eq!(router.get("/readyz").await.status, 200);
            brokers.restart().await.unwrap();
            for case in cases {
                client.done(&case, Closing::Fulfilled).await;
            }
            assert_eq!(router.shut_down().await, Ended::Asked);
        });
    }
}

/// Stopping while an answer is awaited takes its time and ends well; what was accepted goes on after the restart.
#[test]
fn a_stop_with_a_hanging_client_ends_in_time() {
    run(async {
        let router = Router::start(Place::embedded()).await;
        let client = router.client("hanging").await;
        client.system().tap.hold();
        let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
        client.webhook(client.system(), case.id).await;
        let started = std::time::Instant::now();
        let ended = router.running().stop().await;
        assert_eq!(ended, Ended::Asked);
        assert!(
            started.elapsed() < std::time::Duration::from_secs(10),
            "{:?}",
            started.elapsed()
        );
    });
}

/// The key ring and the log's key are their owner's alone.
#[test]
fn keys_are_private() {
    run(async {
        let router = Router::start(Place::embedded()).await;
        for name in ["keys.toml", "log.key"] {
            assert_eq!(mode(&router.running().place.file(name)) & 0o077, 0, "{name}");
        }
        router.shut_down().await;
    });
}

fn mode(path: &Path) -> u32 {
    let permissions: Permissions = std::fs::metadata(path).unwrap().permissions();
    permissions.mode()
}
