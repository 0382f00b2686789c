//! The canary: people with names, numbers and addresses that nothing else holds go through the router, and then
//! everything that isn't sealed is searched for them.
//!
//! The real program runs on Kafka and PostgreSQL, as talkative as it can be. What is searched: its logs, its traces as
//! they leave, its figures, every record of every topic with keys and headers, and every row of every table — sealed
//! columns too, since what is sealed can't be found. Then one canary is planted in each kind of place, and found.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, Data};
use domain::request::Closing;
use platform::http::{Http, Server};
use platform::lifecycle::{Ended, Lifecycle};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tests::canary::Canary;
use tests::harness::patience::PATIENCE;
use tests::harness::provider::wamid;
use tests::harness::{ACCESS, Client, Cluster, DELETE, Person, Place, Router, Sent, key, run};

/// What is searched, by where it was found.
type Places = BTreeMap<String, Vec<u8>>;

fn canary_person() -> Person {
    Person {
        email: format!("zephyrine.{}@canary-mail.example", Person::new().digits()),
        ..Person::named("Zéphyrine Quillfeather الكناري")
    }
}

fn canary(people: &[Person], sent: &[Sent]) -> Canary {
    let mut secrets = vec![
        ("name", "Quillfeather".to_owned()),
        ("name in Arabic", "الكناري".to_owned()),
    ];
    for person in people {
        secrets.extend([
            ("phone", person.phone.clone()),
            ("e-mail", person.email.clone()),
            ("BSUID", person.bsuid.clone()),
            ("page-scoped id", person.psid.clone()),
            ("Instagram id", person.igsid.clone()),
            ("Telegram id", person.telegram.to_string()),
        ]);
    }
    for message in sent {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        let id = body.split("wamid.").nth(1).and_then(|rest| rest.split('"').next());
        secrets.extend(id.map(|id| ("message id", id.to_owned())));
    }
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, secret)| (*name, secret.as_str())).collect();
    Canary::new(&secrets)
}

mod cluster {
    use super::*;

    #[test]
    fn nobody_can_be_found_outside_of_what_is_sealed() {
        run(search());
    }
}

async fn search() {
    let collector = Lifecycle::new();
    let (traces, endpoint) = collect_traces(&collector);
    let mut place = Place::cluster().await;
    place.more =
        format!("[telemetry]\nformat = 'json'\nfilter = 'debug'\notlp_endpoint = '{endpoint}'\nsample_ratio = 1.0\n");
    let router = Router::start_processes(place).await;
    let client = router.client("canary").await;
    let people = [canary_person(), canary_person()];
    let sent = live(&router, &client, &people).await;
    let canary = canary(&people, &sent);

    let mut places = figures(&router).await;
    assert_eq!(router.running().stop().await, Ended::Asked);
    places.insert("traces".to_owned(), traces.lock().unwrap().clone());
    places.extend(logs(&router));
    let cluster = router.running().place.cluster.clone().expect("a cluster");
    places.extend(stored(&cluster).await);
    for (place, bytes) in &places {
        let hits = canary.find(bytes);
        assert!(hits.is_empty(), "in {place}: {hits:#?}");
    }
    for place in [
        "traces",
        "intake.log",
        "dispatch.log",
        "ledger.log",
        "topic dsr.ledger.v1",
        "router.request",
    ] {
        assert!(
            places.get(place).is_some_and(|bytes| !bytes.is_empty()),
            "{place} in {:?}",
            places.keys()
        );
    }
    plant(&cluster, &people[0]).await;
    let places = stored(&cluster).await;
    for place in ["topic dsr.events.v1", "router.token"] {
        assert!(
            !canary.find(&places[place]).is_empty(),
            "what was planted in {place} is not found"
        );
    }
    collector.shut_down().await;
}

/// Everything that people and platforms do, right and wrong.
async fn live(router: &Router, client: &Client<'_>, people: &[Person; 2]) -> Vec<Sent> {
    let [one, other] = people;
    let messages = [
        client.whatsapp(one, DELETE),
        client.whatsapp_without_phone(other, DELETE),
        client.messenger(one, DELETE),
        client.instagram(other, "delete my data please"),
        client.telegram(one, "/delete_my_data"),
        client.whatsapp(other, ACCESS),
    ];
    let mut cases = vec![];
    for message in &messages {
        cases.push(client.hears(message).await);
        assert_eq!(router.forward(message).await.status, 200);
    }
    cases.push(client.asks("deletion", one).await);
    client.system().tap.go_down();
    cases.push(client.asks("access", other).await);
    client.webhook(client.system(), cases.last().expect("one").id).await;
    client.system().tap.open();
    wrong(router, client, one).await;
    for case in cases {
        case.await_closed(Closing::Fulfilled).await;
        case.proved(1).await;
    }
    messages.to_vec()
}

/// What is refused has to be refused without being told about.
async fn wrong(router: &Router, client: &Client<'_>, person: &Person) {
    let mut unsigned = client.whatsapp(person, DELETE);
    unsigned.proof.1.clear();
    assert_eq!(router.deliver(&unsigned).await.status, 401);
    let mut odd = client.whatsapp(person, DELETE);
    odd.direct = format!("/channels/whatsapp/{}", person.digits());
    assert!(router.deliver(&odd).await.status >= 400);
    let mut body = client.rest("deletion", person);
    body["subject"]["identities"][0] = json!({"kind": "email", "value": person.phone});
    body["right"] = json!(person.email);
    assert!(router.post_request(&body, &person.phone).await.status >= 400);
    let cut = client.rest("deletion", person).to_string();
    assert!(
        router
            .post_bytes(cut.as_bytes()[..cut.len() - 4].to_vec(), &key())
            .await
            .status
            >= 400
    );
    assert_eq!(router.post_receipt(&person.phone).await.status, 400);
    for path in [
        format!("/status/{}", person.phone),
        format!("/v1/requests?controller={}", person.phone),
    ] {
        assert!(router.get(&path).await.status >= 400);
    }
    assert_eq!(
        router
            .audit(&format!("/v1/audit/requests/{}", person.phone))
            .await
            .status,
        404
    );
}

/// A collector that keeps what it is sent.
fn collect_traces(lifecycle: &Lifecycle) -> (Arc<Mutex<Vec<u8>>>, String) {
    let kept = Arc::new(Mutex::new(vec![]));
    let data = Data::from(Arc::clone(&kept));
    let http = Http {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: Some(1),
        ..Http::default()
    };
    let server = Server::build(&http, "collector", vec![], move |config| {
        config.app_data(data.clone()).route("/{any:.*}", web::post().to(keep));
    });
    let server = server.expect("a free port is there");
    let url = server.url();
    lifecycle.spawn("collector", server.run(lifecycle.stop()));
    (kept, url)
}

async fn keep(body: Bytes, kept: Data<Mutex<Vec<u8>>>) -> HttpResponse {
    kept.lock().unwrap().extend_from_slice(&body);
    HttpResponse::Ok().content_type("application/x-protobuf").finish()
}

async fn figures(router: &Router) -> Places {
    let mut places = Places::new();
    for url in router.running().place.urls() {
        let text = reqwest::get(format!("{url}/metrics"))
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(text.contains("quittance_") || text.contains("http_"), "figures: {text}");
        places.insert(format!("figures of {url}"), text.into_bytes());
    }
    places
}

fn logs(router: &Router) -> Places {
    let files = fs::read_dir(router.running().place.folder.path()).expect("the folder is there");
    let mut places = Places::new();
    for path in files.map(|file| file.unwrap().path()) {
        if path.extension().is_some_and(|kind| kind == "log") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            places.insert(name, fs::read(&path).unwrap());
        }
    }
    places
}

async fn stored(cluster: &Cluster) -> Places {
    let mut places = records(&cluster.brokers, &cluster.prefix);
    for (name, url) in [
        ("router", &cluster.router),
        ("keys", &cluster.keys),
        ("ledger", &cluster.ledger),
    ] {
        places.extend(rows(name, url).await);
    }
    places
}

/// Every record of every topic: key, value and headers.
fn records(brokers: &str, prefix: &str) -> Places {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "canary");
    let consumer: BaseConsumer = config.set("enable.auto.commit", "false").create().expect("a consumer");
    let (mut places, mut left) = (Places::new(), BTreeMap::new());
    let mut all = TopicPartitionList::new();
    for (topic, partition, from, to) in partitions(&consumer, prefix) {
        places.entry(topic[prefix.len()..].to_owned()).or_default();
        if from < to {
            all.add_partition_offset(&topic, partition, Offset::Offset(from))
                .expect("an offset");
            left.insert((topic, partition), to);
        }
    }
    consumer.assign(&all).expect("assigned");
    let started = Instant::now();
    while !left.is_empty() {
        assert!(started.elapsed() < PATIENCE, "not read to the end: {left:?}");
        // It comes back empty-handed now and then, for instance to tell of a new leader.
        let Some(record) = consumer.poll(Duration::from_secs(1)) else {
            continue;
        };
        let record = record.expect("a record");
        let place = places.entry(record.topic()[prefix.len()..].to_owned()).or_default();
        place.extend(record.key().unwrap_or_default());
        place.extend(record.payload().unwrap_or_default());
        for header in record.headers().iter().flat_map(|headers| headers.iter()) {
            place.extend(header.key.as_bytes());
            place.extend(header.value.unwrap_or_default());
        }
        let (partition, next) = ((record.topic().to_owned(), record.partition()), record.offset() + 1);
        left.retain(|known, to| *known != partition || next < *to);
    }
    places
        .into_iter()
        .map(|(topic, bytes)| (format!("topic {topic}"), bytes))
        .collect()
}

/// Every partition of this deployment's topics, and its first and next offset.
fn partitions(consumer: &BaseConsumer, prefix: &str) -> Vec<(String, i32, i64, i64)> {
    let metadata = consumer.fetch_metadata(None, PATIENCE).expect("the brokers answer");
    let mut found = vec![];
    for topic in metadata
        .topics()
        .iter()
        .filter(|topic| topic.name().starts_with(prefix))
    {
        for partition in topic.partitions() {
            let watermarks = consumer.fetch_watermarks(topic.name(), partition.id(), PATIENCE);
            let (from, to) = watermarks.expect("the brokers answer");
            found.push((topic.name().to_owned(), partition.id(), from, to));
        }
    }
    found
}

/// Every row of every table, as PostgreSQL prints it: bytes in hexadecimal.
async fn rows(database: &str, url: &str) -> Places {
    let mut connection = PgConnection::connect(url).await.expect("the database answers");
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
    let mut places = Places::new();
    for table in tables {
        let all = AssertSqlSafe(format!("SELECT t::text FROM \"{table}\" AS t"));
        let rows = sqlx::query(all).fetch_all(&mut connection).await.unwrap();
        let text = rows
            .iter()
            .map(|row| row.get::<String, _>(0))
            .collect::<Vec<_>>()
            .join("\n");
        places.insert(format!("{database}.{table}"), text.into_bytes());
    }
    places
}

/// A message id in a header, and a name as bytes in a column.
async fn plant(cluster: &Cluster, person: &Person) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &cluster.brokers)
        .create()
        .unwrap();
    let (topic, id) = (format!("{}dsr.events.v1", cluster.prefix), wamid(person.digits(), 1));
    let headers = OwnedHeaders::new().insert(Header {
        key: "message-id",
        value: Some(&id),
    });
    let record = FutureRecord::to(&topic).key("k").payload("v").headers(headers);
    producer.send(record, Duration::from_secs(30)).await.unwrap();
    let mut connection = PgConnection::connect(&cluster.router).await.unwrap();
    let planted = "INSERT INTO token (digest, role, label, scope, created_at) VALUES ($1, 'product', '', '{}', 0)";
    sqlx::query(planted)
        .bind(person.name.as_bytes())
        .execute(&mut connection)
        .await
        .unwrap();
}
