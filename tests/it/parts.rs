//! The parts themselves: what was acknowledged or committed is still there after a kill, on the same address.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::{Connection, Executor, PgConnection};
use tests::parts::kafka::Kafka;
use tests::parts::postgres::Postgres;

const TOPIC: &str = "kept";

async fn make_topic(bootstrap: &str, copies: i32) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap();
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(copies));
    admin
        .create_topics(&[topic], &AdminOptions::new())
        .await
        .unwrap()
        .remove(0)
        .unwrap();
}

async fn produce(bootstrap: &str) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .create()
        .unwrap();
    producer
        .send(FutureRecord::to(TOPIC).key("k").payload("v"), Duration::from_secs(30))
        .await
        .unwrap();
}

fn records(bootstrap: &str) -> i64 {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap();
    let (first, next) = client.fetch_watermarks(TOPIC, 0, Duration::from_secs(30)).unwrap();
    next - first
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_brokers_may_die_and_come_back_on_kafka() {
    let mut kafka = Kafka::start_brokers(3).await.unwrap();
    let bootstrap = kafka.bootstrap();
    make_topic(&bootstrap, 3).await;
    produce(&bootstrap).await;
    kafka.broker(1).kill_dash_nine();
    produce(&bootstrap).await;
    kafka.broker(1).restart().unwrap();
    kafka.ready().await.unwrap();
    assert_eq!(records(&bootstrap), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_power_cut_on_kafka() {
    let mut kafka = Kafka::start().await.unwrap();
    let bootstrap = kafka.bootstrap();
    make_topic(&bootstrap, 1).await;
    produce(&bootstrap).await;
    kafka.kill_dash_nine();
    kafka.restart().await.unwrap();
    assert_eq!(records(&bootstrap), 1);
}

#[tokio::test]
async fn what_was_committed_outlives_a_power_cut_on_postgres() {
    let mut postgres = Postgres::start().await.unwrap();
    let template = postgres.server().database("template").await;
    let mut connection = PgConnection::connect(&template).await.unwrap();
    connection
        .execute("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
        .await
        .unwrap();
    connection.close().await.unwrap();
    postgres.kill_dash_nine();
    assert!(PgConnection::connect(&template).await.is_err());
    postgres.restart().await.unwrap();
    let copy = postgres.server().clone_of(&template, "copy").await;
    let mut connection = PgConnection::connect(&copy).await.unwrap();
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM kept")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}
