use std::fs;
use std::path::Path;

use actix_web::App;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::Data;
use evidence::entry::body::AuditorQuery;
use evidence::history::KeyHistory;
use evidence::leaf::{Leaf, parse_bundle};
use evidence::merkle::tile::Tile;
use evidence::merkle::verify::verify_consistency;
use evidence::note::SignedCheckpoint;
use evidence::proof::Proof;
use platform::secret::{Secret, digest};

use super::*;
use crate::http::{State, routes};
use crate::tokens::{Controllers, Scope};

/// Status, content type, caching, body.
struct Answer {
    status: u16,
    kind: String,
    cache: String,
    body: Vec<u8>,
}

async fn ask(bench: &Bench, token: Option<&str>, path: &str) -> Answer {
    let state = Data::new(State {
        archive: bench.archive(),
        clock: bench.clock.clone(),
        rng: bench.rng.clone(),
    });
    let app = init_service(App::new().configure(|config| routes(config, state))).await;
    let mut request = TestRequest::get().uri(path);
    if let Some(token) = token {
        request = request.insert_header((AUTHORIZATION, format!("Bearer {token}")));
    }
    let response = call_service(&app, request.to_request()).await;
    let header = |name| {
        response
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
            .to_owned()
    };
    Answer {
        status: response.status().as_u16(),
        kind: header(CONTENT_TYPE),
        cache: header(CACHE_CONTROL),
        body: read_body(response).await.to_vec(),
    }
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// `name` opens these controllers until the 100th second.
async fn token(bench: &Bench, name: &str, controllers: Controllers) {
    let scope = Scope {
        home: controller(9),
        controllers,
        from: None,
        until: Some(at(50)),
    };
    let digest = digest(&Secret::new(name));
    tokens::add(&bench.db, &digest, &scope, at(100), at(0)).await.unwrap();
}

/// 300 entries: keys of controllers 1 and 9, a receipt of each of controllers 1 and 2, and stuffing.
async fn logged(bench: Bench) -> Bench {
    bench.requests([1, 2]).await;
    let mut entries = vec![key_event(1, 1), key_event(2, 9), receipt(3, 1, 1), receipt(4, 2, 2)];
    entries.extend((5..=300).map(|number| key_event(number, 3)));
    let mut late = receipt(301, 1, 1);
    late.at = at(60);
    let mut sequencer = bench.sequencer();
    bench.put(&entries).await;
    sequencer.turn().await.unwrap();
    bench.put(&[late]).await;
    sequencer.turn().await.unwrap();
    bench
}

#[tokio::test]
async fn anybody_reads_the_log_as_tiles() {
    on_each_engine(async |bench| {
        let bench = logged(bench).await;
        let answer = ask(&bench, None, "/log/checkpoint").await;
        assert_eq!((answer.status, &*answer.kind), (200, "text/plain; charset=utf-8"));
        let checkpoint = SignedCheckpoint::parse(&answer.body).unwrap();
        assert_eq!(checkpoint.verified_by(&[bench.signer.key().clone()]).unwrap().len(), 1);
        assert_eq!(checkpoint.checkpoint().size, 301);

        let answer = ask(&bench, None, "/log/tile/0/001.p/45").await;
        assert_eq!((answer.status, &*answer.kind), (200, "application/octet-stream"));
        assert!(answer.cache.contains("immutable"));
        let narrow = ask(&bench, None, "/log/tile/0/001.p/10").await;
        assert_eq!(narrow.body, answer.body[..320]);
        let full = ask(&bench, None, "/log/tile/0/000").await;
        let above = ask(&bench, None, "/log/tile/1/000.p/1").await;
        assert_eq!(Tile::parse(&full.body).unwrap().root().unwrap().as_ref(), above.body);

        let bundle = ask(&bench, None, "/log/tile/entries/000").await;
        let leaves = parse_bundle(&bundle.body).unwrap();
        let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.hash().0).collect();
        assert_eq!(hashes, full.body);
        assert_eq!(
            parse_bundle(&ask(&bench, None, "/log/tile/entries/001.p/45").await.body)
                .unwrap()
                .len(),
            45
        );

        for absent in [
            "0/001",
            "0/001.p/46",
            "0/002",
            "1/000",
            "entries/001",
            "0/1",
            "7/000",
            "entries/001.p/0",
        ] {
            assert_eq!(
                ask(&bench, None, &format!("/log/tile/{absent}")).await.status,
                404,
                "{absent}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_auditor_gets_exact_bytes_and_their_proof() {
    on_each_engine(async |bench| {
        let bench = logged(bench).await;
        token(&bench, "one", Controllers::These(vec![controller(1)])).await;
        let ours = receipt(3, 1, 1);
        let path = format!("/v1/audit/receipts/{}", receipt_id(3));
        let bytes = ask(&bench, Some("one"), &path).await;
        assert_eq!((bytes.status, &bytes.body), (200, &ours.encode()));
        let proof: Proof = ask(&bench, Some("one"), &format!("{path}/proof"))
            .await
            .text()
            .parse()
            .unwrap();
        let policy = Policy::of_log(bench.signer.key().clone());
        assert_eq!(verify_proof(&bytes.body, &proof, &policy).unwrap().entry, ours);

        let entry = format!("/v1/audit/entries/{}", entry_id(3));
        assert_eq!(ask(&bench, Some("one"), &entry).await.body, bytes.body);
        assert_eq!(
            ask(&bench, Some("one"), &format!("{entry}/proof")).await.text(),
            proof.to_string()
        );
        let timeline = ask(&bench, Some("one"), &format!("/v1/audit/requests/{}", request(1))).await;
        let timeline: serde_json::Value = serde_json::from_slice(&timeline.body).unwrap();
        assert_eq!(
            timeline["entries"].as_array().unwrap().len(),
            1,
            "what is after the token's period is not shown"
        );
        assert_eq!(
            timeline["entries"][0]["written"]["body"]["receipt"],
            receipt_id(3).to_string()
        );

        bench.keys.shred(keys::Class::Evidence, &[request(1)]).await.unwrap();
        assert_eq!(ask(&bench, Some("one"), &path).await.status, 410);
        assert_eq!(ask(&bench, Some("one"), &format!("{path}/proof")).await.status, 410);
    })
    .await;
}

#[tokio::test]
async fn what_a_token_does_not_open_looks_as_if_it_were_not_there() {
    on_each_engine(async |bench| {
        let bench = logged(bench).await;
        token(&bench, "one", Controllers::These(vec![controller(1)])).await;
        token(&bench, "all", Controllers::All).await;
        let missing = ask(&bench, Some("one"), &format!("/v1/audit/receipts/{}", receipt_id(77))).await;
        let paths = |of: ReceiptId, about: u128, id: u128| {
            [
                format!("/v1/audit/receipts/{of}"),
                format!("/v1/audit/receipts/{of}/proof"),
                format!("/v1/audit/entries/{}", entry_id(id)),
                format!("/v1/audit/requests/{}", request(about)),
            ]
        };
        for path in paths(receipt_id(4), 2, 4) {
            let foreign = ask(&bench, Some("one"), &path).await;
            assert_eq!((foreign.status, &foreign.body), (404, &missing.body), "{path}");
            assert_eq!(ask(&bench, Some("all"), &path).await.status, 200, "{path}");
            assert_eq!(ask(&bench, None, &path).await.status, 401, "{path}");
            assert_eq!(ask(&bench, Some("two"), &path).await.status, 401, "{path}");
        }
        let late = ask(&bench, Some("one"), &format!("/v1/audit/receipts/{}", receipt_id(301))).await;
        assert_eq!(late.body, missing.body);
        let listed = tokens::list(&bench.db).await.unwrap();
        assert_eq!(listed.len(), 2);
        assert!(tokens::remove(&bench.db, &digest(&Secret::new("one"))).await.unwrap());
        assert_eq!(
            ask(&bench, Some("one"), &paths(receipt_id(3), 1, 3)[0]).await.status,
            401
        );
        bench.clock.set(at(101));
        assert_eq!(
            ask(&bench, Some("all"), &paths(receipt_id(4), 2, 4)[0]).await.status,
            401,
            "the token is over"
        );
    })
    .await;
}

#[tokio::test]
async fn every_question_is_logged() {
    on_each_engine(async |bench| {
        let bench = logged(bench).await;
        token(&bench, "one", Controllers::These(vec![controller(1)])).await;
        let paths = [
            format!("/v1/audit/receipts/{}", receipt_id(3)),
            format!("/v1/audit/receipts/{}", receipt_id(4)),
            "/v1/audit/keys".to_owned(),
            "/v1/audit/requests/nobody@example.org".to_owned(),
            "/v1/audit/consistency?from=1&to=301".to_owned(),
        ];
        for path in &paths {
            ask(&bench, Some("one"), path).await;
        }
        assert_eq!(bench.sequencer().turn().await.unwrap(), Turn::Appended(5));
        let mut asked = Vec::new();
        let archive = bench.archive();
        for held in archive.range(301, 306).await.unwrap() {
            let entry = Entry::decode(&archive.open_one(&held).await.unwrap().unwrap().bytes).unwrap();
            let Body::AuditorQuery(AuditorQuery {
                token,
                query,
                about,
                rows,
            }) = entry.body
            else {
                panic!("{entry:?}")
            };
            assert_eq!(token.0, digest(&Secret::new("one")));
            let about = about.map(|about| about.to_string());
            asked.push((entry.controller, query.to_string(), about, rows));
        }
        let word = |id: ReceiptId| Some(id.to_string());
        let expected = [
            (controller(1), "receipt".into(), word(receipt_id(3)), 1),
            (controller(9), "receipt".into(), word(receipt_id(4)), 0),
            (controller(9), "keys".into(), None, 2),
            (controller(9), "request".into(), None, 0),
            (controller(9), "consistency".into(), None, asked[4].3),
        ];
        assert_eq!(asked, expected);
    })
    .await;
}

#[tokio::test]
async fn the_history_of_keys_and_consistency_can_be_checked_offline() {
    on_each_engine(async |bench| {
        let bench = logged(bench).await;
        token(&bench, "one", Controllers::These(vec![controller(1)])).await;
        let lines = ask(&bench, Some("one"), "/v1/audit/keys").await;
        let policy = Policy::of_log(bench.signer.key().clone());
        let history = KeyHistory::parse(lines.text(), &policy).unwrap();
        let Body::KeyEvent(event) = key_event(1, 1).body else {
            unreachable!()
        };
        assert!(history.key_at(&event.iss, &event.kid, 2).is_ok());
        assert_eq!(lines.text().lines().count(), 2, "its own keys and its home's");

        let answer = ask(&bench, Some("one"), "/v1/audit/consistency?from=300&to=301").await;
        let hashes: Vec<evidence::merkle::Hash> = answer.text().lines().map(|line| line.parse().unwrap()).collect();
        let archive = bench.archive();
        let (old, new) = (
            archive.oldest_checkpoint().await.unwrap().unwrap(),
            archive.checkpoint().await.unwrap().unwrap(),
        );
        let (old, new) = (old.checkpoint(), new.checkpoint());
        assert_eq!((old.size, new.size), (300, 301));
        verify_consistency(300, old.root, 301, new.root, &hashes).unwrap();
        for wrong in ["from=0&to=5", "from=5&to=4", "from=1&to=302", "from=1", "from=a&to=2"] {
            let path = format!("/v1/audit/consistency?{wrong}");
            assert_eq!(ask(&bench, Some("one"), &path).await.status, 400, "{wrong}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_log_goes_to_files_that_stand_alone() {
    on_each_engine(async |bench| {
        let bench = logged(bench).await;
        let folder = bench.file("export");
        assert_eq!(export::write(&bench.archive(), &folder).await.unwrap(), 3);
        let policy = Policy::parse(&fs::read_to_string(folder.join("policy")).unwrap()).unwrap();
        KeyHistory::parse(&fs::read_to_string(folder.join("keys.jsonl")).unwrap(), &policy).unwrap();
        let folder = folder.join(entry_id(3).to_string());
        let read = |name: &str| fs::read(folder.join(name)).unwrap();
        let proof: Proof = String::from_utf8(read("proof.tlog-proof")).unwrap().parse().unwrap();
        let verified = verify_proof(&read("entry"), &proof, &policy).unwrap();
        assert_eq!(verified.entry, receipt(3, 1, 1));
        assert_eq!(Leaf::parse(&read("leaf")).unwrap(), bench.held(3).await.leaf);
        assert_eq!(
            SignedCheckpoint::parse(&read("checkpoint.old"))
                .unwrap()
                .checkpoint()
                .size,
            300
        );
        leave_for_the_second_opinion(&folder);
    })
    .await;
}

/// `./tests/run` has what lies there judged by a program that shares no line with us (tests/goverify).
fn leave_for_the_second_opinion(folder: &Path) {
    let Some(samples) = std::env::var_os("QUITTANCE_LOG_SAMPLES") else {
        return;
    };
    let sample = Path::new(&samples).join("ledger-export");
    fs::create_dir_all(&sample).unwrap();
    for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), sample.join(file.file_name())).unwrap();
    }
}
