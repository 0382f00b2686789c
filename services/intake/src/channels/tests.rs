use std::fs;
use std::path::{Path, PathBuf};

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::test::TestRequest;
use aws_lc_rs::hmac;
use domain::new_request::Details;
use domain::person::Identity;
use platform::db::{Args, Statement};
use serde_json::{Value, json};
use store::sealed;
use store::tokens::{Controllers, Rights, TokenScope};

use crate::fixture::{APP_SECRET, Answer, BOOKS, BOT_SECRET, House, PRODUCT, controller, token};

const WHATSAPP: &str = "/channels/whatsapp/smart-reply";
const TELEGRAM: &str = "/channels/telegram/sweets_bot";
const BOT_HEADER: &str = "X-Telegram-Bot-Api-Secret-Token";

fn vector(name: &str) -> Vec<u8> {
    fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/vectors")
            .join(name),
    )
    .unwrap()
}

fn signature(secret: &str, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    tag.as_ref()
        .iter()
        .fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn post(path: &str, body: impl Into<Vec<u8>>) -> TestRequest {
    TestRequest::post().uri(path).set_payload(body.into())
}

/// As Meta would send it.
fn signed(path: &str, body: impl Into<Vec<u8>>) -> TestRequest {
    let body = body.into();
    let header = ("X-Hub-Signature-256", signature(APP_SECRET, &body));
    post(path, body).insert_header(header)
}

fn update(body: &Value) -> TestRequest {
    post(TELEGRAM, body.to_string()).insert_header((BOT_HEADER, BOT_SECRET))
}

fn whatsapp(account: &str, messages: &Value) -> String {
    let contacts = json!([{"profile": {"name": "Layla"}, "wa_id": "970591234567"}]);
    let value = json!({"metadata": {"phone_number_id": account}, "contacts": contacts, "messages": messages});
    let changes = json!([{"field": "messages", "value": value}]);
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}).to_string()
}

fn asks(id: &str) -> Value {
    json!({"from": "970591234567", "id": id, "timestamp": "1777885100", "type": "text",
           "text": {"body": "please delete my data"}})
}

fn private(id: u32, text: &str) -> Value {
    json!({"update_id": id, "message": {"message_id": 1, "date": 1_777_885_100, "text": text,
           "from": {"id": 77, "is_bot": false, "first_name": "Layla", "last_name": "Q", "language_code": "ar"},
           "chat": {"id": 77, "type": "private"}}})
}

async fn status(house: &House, request: TestRequest) -> u16 {
    house.call(request).await.status.as_u16()
}

async fn stored(house: &House) -> i64 {
    house.number("SELECT COUNT(*) FROM request").await
}

/// The details of the newest request.
async fn details(house: &House) -> Details {
    const NEWEST: Statement = Statement::both("test", "SELECT id, sealed FROM request ORDER BY id DESC LIMIT 1");
    let rows = house.store.db().fetch(&NEWEST, Args::new()).await.unwrap();
    let id = domain::id::RequestId::from_uuid(rows[0].get(0).unwrap());
    let keys = house.keys.load(keys::Class::Subject, &[id]).await.unwrap();
    let bytes = keys[&id]
        .open(sealed::DETAILS, &rows[0].get::<Vec<u8>>(1).unwrap())
        .unwrap();
    sealed::from_bytes(&bytes).unwrap()
}

fn identities(details: &Details) -> Vec<String> {
    let text = |one: &Identity| format!("{}={} {}", one.kind, one.value.expose(), one.proof);
    details.subject.identities.iter().map(text).collect()
}

#[actix_web::test]
async fn the_signed_bytes_pass_and_the_same_json_written_again_does_not() {
    let house = House::new().await;
    let vectors: Value = serde_json::from_slice(&vector("channels.json")).unwrap();
    let body = vector(vectors["whatsapp"]["body_file"].as_str().unwrap());
    let header = (
        "X-Hub-Signature-256",
        vectors["whatsapp"]["x-hub-signature-256"].as_str().unwrap(),
    );

    let again = serde_json::from_slice::<Value>(&body).unwrap().to_string();
    assert_eq!(status(&house, post(WHATSAPP, again).insert_header(header)).await, 401);
    assert_eq!(stored(&house).await, 0);

    assert_eq!(status(&house, post(WHATSAPP, body).insert_header(header)).await, 200);
    assert_eq!(stored(&house).await, 1);
    let details = details(&house).await;
    assert_eq!(details.description.as_ref().unwrap().expose(), "احذف بياناتي");
    assert_eq!(
        identities(&details),
        [
            "whatsapp_bsuid=US.13491208655302741918 verified",
            "phone=+16505551234 verified",
            "whatsapp_wa_id=16505551234 verified"
        ]
    );
    assert_eq!(
        house.number("SELECT COUNT(*) FROM request WHERE stage = 'ready'").await,
        1
    );
}

#[actix_web::test]
async fn without_the_secret_nothing_gets_in() {
    let house = House::new().await;
    let body = whatsapp("106540352242922", &json!([asks("wamid.1")]));
    let with = |value: String| post(WHATSAPP, body.clone()).insert_header(("X-Hub-Signature-256", value));
    let right = signature(APP_SECRET, body.as_bytes());
    for wrong in [
        signature("other", body.as_bytes()),
        signature(APP_SECRET, b"{}"),
        right.replace("sha256=", ""),
        right.replace("sha256=", "sha1="),
        right[..right.len() - 2].to_owned(),
        format!("{right}0"),
        "sha256=".to_owned(),
        "sha256=zz".to_owned(),
    ] {
        assert_eq!(status(&house, with(wrong.clone())).await, 401, "{wrong}");
    }
    assert_eq!(status(&house, post(WHATSAPP, body.clone())).await, 401, "missing");
    assert_eq!(
        status(&house, signed("/channels/whatsapp/other", body.clone())).await,
        404,
        "no such app"
    );
    assert_eq!(
        status(&house, signed("/channels/email/smart-reply", body.clone())).await,
        404,
        "no such door"
    );

    let telegram = private(1, "/delete_my_data").to_string();
    assert_eq!(status(&house, post(TELEGRAM, telegram.clone())).await, 401);
    let guess = post(TELEGRAM, telegram.clone()).insert_header((BOT_HEADER, "bot-secret_2"));
    assert_eq!(status(&house, guess).await, 401);
    let other = post("/channels/telegram/other", telegram).insert_header((BOT_HEADER, BOT_SECRET));
    assert_eq!(status(&house, other).await, 404);
    assert_eq!(stored(&house).await, 0);

    let before = signature("before", body.as_bytes());
    assert_eq!(
        status(&house, with(before)).await,
        200,
        "the secret before the last reset"
    );
    assert_eq!(stored(&house).await, 1);
}

#[actix_web::test]
async fn a_handshake_gives_the_challenge_back_to_whoever_knows_the_token() {
    let house = House::new().await;
    let ask = async |query: &str| {
        let answer = house.call(TestRequest::get().uri(&format!("{WHATSAPP}?{query}"))).await;
        (answer.status.as_u16(), answer.text().to_owned())
    };
    let right = "hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge=1158201444";
    assert_eq!(ask(right).await, (200, "1158201444".to_owned()));
    for wrong in [
        "hub.mode=subscribe&hub.verify_token=other&hub.challenge=1",
        "hub.mode=unsubscribe&hub.verify_token=verify-me&hub.challenge=1",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=subscribe&hub.verify_token=verify-me",
        "",
    ] {
        assert_eq!(ask(wrong).await.0, 403, "{wrong}");
    }
}

#[actix_web::test]
async fn what_is_signed_and_no_notification_is_refused() {
    let house = House::new().await;
    for body in ["", "{", "[]", "{}", "7", r#"{"entry":7}"#, "{\"object\":\"page\"} x"] {
        assert_eq!(status(&house, signed(WHATSAPP, body)).await, 400, "{body}");
    }
    for body in ["", "{", "{}", "7", "[{}]"] {
        let request = post(TELEGRAM, body).insert_header((BOT_HEADER, BOT_SECRET));
        assert_eq!(status(&house, request).await, 400, "{body}");
    }
    for body in [
        r#"{"object":"page"}"#,
        r#"{"entry":[]}"#,
        r#"{"entry":[7, {}, {"changes":7}]}"#,
    ] {
        assert_eq!(status(&house, signed(WHATSAPP, body)).await, 200, "{body}");
    }
}

#[actix_web::test]
async fn a_batch_is_split_and_a_repeat_makes_nothing_new() {
    let house = House::new().await;
    let hello = json!({"from": "970591234567", "id": "wamid.0", "timestamp": "1777885100", "type": "text",
                       "text": {"body": "do you sell baklava?"}});
    let button = json!({"from": "970591234567", "id": "wamid.3", "timestamp": "1777885100", "type": "interactive",
                        "interactive": {"type": "button_reply", "button_reply": {"id": "x", "title": "Delete my data"}}});
    let forwarded = json!({"from": "970591234567", "id": "wamid.4", "timestamp": "1777885100", "type": "text",
                           "context": {"forwarded": true}, "text": {"body": "delete my data"}});
    let group = json!({"from": "970591234567", "id": "wamid.5", "timestamp": "1777885100", "type": "text",
                       "group_id": "g", "text": {"body": "delete my data"}});
    let batch = json!([hello, asks("wamid.1"), asks("wamid.2"), button, forwarded, group]);
    let body = whatsapp("106540352242922", &batch);
    assert_eq!(status(&house, signed(WHATSAPP, body.clone())).await, 200);
    assert_eq!(stored(&house).await, 3);
    assert_eq!(
        status(&house, signed(WHATSAPP, body)).await,
        200,
        "the whole batch again"
    );
    let alone = whatsapp("106540352242922", &json!([asks("wamid.2")]));
    assert_eq!(
        status(&house, signed(WHATSAPP, alone)).await,
        200,
        "one of it in another batch"
    );
    assert_eq!(stored(&house).await, 3);
    let other_account = whatsapp("333", &json!([asks("wamid.2")]));
    assert_eq!(status(&house, signed(WHATSAPP, other_account)).await, 200);
    assert_eq!(stored(&house).await, 4, "ids are an account's own");
}

#[actix_web::test]
async fn one_message_may_exercise_two_rights() {
    let house = House::new().await;
    let mut both = asks("wamid.1");
    both["text"]["body"] = json!("Please send me a copy of my data. Then delete my data.");
    let body = whatsapp("106540352242922", &json!([both]));
    assert_eq!(status(&house, signed(WHATSAPP, body)).await, 200);
    assert_eq!(stored(&house).await, 2);
    assert_eq!(house.number("SELECT COUNT(DISTINCT exercised) FROM request").await, 2);
}

#[actix_web::test]
async fn a_stranger_in_a_batch_does_not_hold_up_the_others() {
    let house = House::new().await;
    let mut known: Value = serde_json::from_str(&whatsapp("106540352242922", &json!([asks("wamid.1")]))).unwrap();
    let stranger: Value = serde_json::from_str(&whatsapp("000", &json!([asks("wamid.2")]))).unwrap();
    known["entry"]
        .as_array_mut()
        .unwrap()
        .extend(stranger["entry"].as_array().unwrap().clone());
    let unknown = || {
        let text = platform::metrics::prometheus_text();
        let line = text
            .lines()
            .find(|line| line.starts_with("quittance_intake_unknown_accounts_total{channel=\"whatsapp\"}"));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let before = unknown();
    assert_eq!(status(&house, signed(WHATSAPP, known.to_string())).await, 200);
    assert_eq!(stored(&house).await, 1);
    assert!(unknown() > before, "counted, so that somebody is alarmed");
}

#[actix_web::test]
async fn a_person_without_a_number_is_known_by_the_scoped_id() {
    let house = House::new().await;
    let message = json!({"from_user_id": "PS.13491208655302741918", "id": "wamid.9", "timestamp": "1777885100",
                         "type": "text", "text": {"body": "delete my data"}});
    let body = whatsapp("106540352242922", &json!([message]))
        .replace("\"wa_id\":\"970591234567\"", "\"user_id\":\"PS.13491208655302741918\"");
    assert_eq!(status(&house, signed(WHATSAPP, body)).await, 200);
    let details = details(&house).await;
    assert_eq!(
        identities(&details),
        ["whatsapp_bsuid=PS.13491208655302741918 verified"]
    );
    assert_eq!(details.subject.name.unwrap().expose(), "Layla");
}

#[actix_web::test]
async fn the_clock_starts_when_the_person_asked() {
    let house = House::new().await;
    let at = async |id: &str, stamp: Value| {
        house.clock.advance(std::time::Duration::from_millis(1));
        let mut message = asks(id);
        message["timestamp"] = stamp;
        let body = whatsapp("106540352242922", &json!([message]));
        assert_eq!(status(&house, signed(WHATSAPP, body)).await, 200);
        house
            .number("SELECT received_at FROM request ORDER BY id DESC LIMIT 1")
            .await
            / 1_000_000
    };
    let now = house.doors.now().as_second();
    assert_eq!(at("a", json!("1777885100")).await, 1_777_885_100);
    assert_eq!(at("b", json!(1_777_885_100)).await, 1_777_885_100);
    assert_eq!(at("c", json!("TIMESTAMP")).await, now, "unreadable");
    assert_eq!(at("d", json!("1999999999")).await, now, "never later than now");
    assert_eq!(
        at("e", json!("1")).await,
        now - 90 * 86_400,
        "never earlier than any repeat"
    );
}

#[actix_web::test]
async fn messenger_and_instagram_share_a_shape() {
    let house = House::new().await;
    let body = |object: &str, page: Value, part: Value| {
        json!({"object": object, "entry": [{"id": page, "time": 1, "messaging": [part]}]}).to_string()
    };
    let says = |extra: Value| {
        let mut message = json!({"mid": "m.1", "text": "delete my data"});
        message
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        json!({"sender": {"id": "5"}, "recipient": {"id": "111"}, "timestamp": 1_777_885_100_123_i64, "message": message})
    };
    let messenger = "/channels/messenger/smart-reply";
    for skipped in [
        json!({"is_echo": true}),
        json!({"is_deleted": true}),
        json!({"text": null}),
    ] {
        assert_eq!(
            status(&house, signed(messenger, body("page", json!("111"), says(skipped)))).await,
            200
        );
    }
    assert_eq!(stored(&house).await, 0);
    assert_eq!(
        status(&house, signed(messenger, body("page", json!(111), says(json!({}))))).await,
        200
    );
    assert_eq!(identities(&details(&house).await), ["messenger_psid=5 verified"]);
    assert_eq!(
        house.number("SELECT received_at FROM request").await,
        1_777_885_100_123_000
    );

    house.clock.advance(std::time::Duration::from_millis(1));
    // Entered under the wrong address: the object says what it is.
    assert_eq!(
        status(
            &house,
            signed(messenger, body("instagram", json!("222"), says(json!({}))))
        )
        .await,
        200
    );
    assert_eq!(identities(&details(&house).await), ["instagram_igsid=5 verified"]);

    let press = json!({"sender": {"id": "5"}, "recipient": {"id": "111"}, "timestamp": 1_777_885_100_123_i64,
                       "postback": {"title": "Delete my data", "payload": "DELETE"}});
    for _ in 0..2 {
        assert_eq!(
            status(&house, signed(messenger, body("page", json!("111"), press.clone()))).await,
            200
        );
    }
    assert_eq!(stored(&house).await, 3);
}

#[actix_web::test]
async fn telegram_takes_a_persons_own_words_in_private() {
    let house = House::new().await;
    let change = |path: &str, value: Value| {
        let mut update = private(2, "/delete_my_data");
        *update["message"].pointer_mut(path).unwrap() = value;
        update
    };
    let mut forwarded = private(2, "delete my data");
    forwarded["message"]["forward_origin"] = json!({"type": "user"});
    let edited = json!({"update_id": 2, "edited_message": private(2, "delete my data")["message"]});
    let skipped = [
        change("/chat/type", json!("group")),
        change("/from/is_bot", json!(true)),
        change("/from/id", json!(78)),
        change("/text", json!(7)),
        change("/chat", Value::Null),
        forwarded,
        edited,
        json!({"update_id": 2}),
    ];
    for update_body in skipped {
        assert_eq!(status(&house, update(&update_body)).await, 200, "{update_body}");
    }
    assert_eq!(stored(&house).await, 0);

    assert_eq!(status(&house, update(&private(3, "/delete_my_data"))).await, 200);
    assert_eq!(status(&house, update(&private(3, "/delete_my_data"))).await, 200);
    assert_eq!(stored(&house).await, 1);
    let details = details(&house).await;
    assert_eq!(identities(&details), ["telegram_user_id=77 verified"]);
    assert_eq!(
        house.number("SELECT COUNT(*) FROM request WHERE locale = 'ar'").await,
        1
    );
    assert_eq!(details.subject.name.unwrap().expose(), "Layla Q");

    let business = json!({"update_id": 4, "business_message": private(4, "delete my data")["message"]});
    assert_eq!(status(&house, update(&business)).await, 200);
    assert_eq!(stored(&house).await, 2);
}

#[actix_web::test]
async fn a_product_forwards_what_its_channel_sent() {
    let house = House::new().await;
    let body = whatsapp("106540352242922", &json!([asks("wamid.1")]));
    let with = |request: TestRequest, token: &str| request.insert_header((AUTHORIZATION, format!("Bearer {token}")));
    let forward = || signed("/forward/whatsapp", body.clone());
    assert_eq!(status(&house, forward()).await, 401, "no token");
    assert_eq!(status(&house, with(forward(), "unknown")).await, 401);
    let unsigned = post("/forward/whatsapp", body.clone());
    assert_eq!(status(&house, with(unsigned, PRODUCT)).await, 401, "no signature");

    let books = TokenScope {
        controllers: Controllers::Only([controller(BOOKS)].into()),
        rights: Rights::All,
        ..TokenScope::everything()
    };
    let other = token("books-only", books, house.doors.now());
    store::tokens::insert(house.store.db(), &other).await.unwrap();
    assert_eq!(status(&house, with(forward(), "books-only")).await, 200);
    assert_eq!(stored(&house).await, 0, "not that product's client");

    assert_eq!(status(&house, with(forward(), PRODUCT)).await, 200);
    assert_eq!(
        status(&house, signed(WHATSAPP, body.clone())).await,
        200,
        "and directly"
    );
    assert_eq!(stored(&house).await, 1);
    assert_eq!(
        house
            .number("SELECT COUNT(*) FROM request WHERE assurance = 'channel_control'")
            .await,
        1
    );

    let telegram =
        |path: &str| post(path, private(1, "/delete_my_data").to_string()).insert_header((BOT_HEADER, BOT_SECRET));
    assert_eq!(
        status(&house, with(telegram("/forward/telegram"), PRODUCT)).await,
        400,
        "which bot"
    );
    assert_eq!(
        status(&house, with(telegram("/forward/telegram?binding=x"), PRODUCT)).await,
        404
    );
    assert_eq!(
        status(&house, with(telegram("/forward/telegram?binding=sweets_bot"), PRODUCT)).await,
        200
    );
    assert_eq!(stored(&house).await, 2);
    assert_eq!(house.number("SELECT COUNT(DISTINCT controller) FROM request").await, 1);
}

#[actix_web::test]
async fn without_a_database_the_platform_is_asked_to_come_again() {
    let house = House::new().await;
    house.store.db().close().await;
    let body = whatsapp("106540352242922", &json!([asks("wamid.1")]));
    let Answer { status, headers, .. } = house.call(signed(WHATSAPP, body)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(headers.contains_key("retry-after"));
}

#[actix_web::test]
async fn before_the_registry_was_read_nobody_is_a_stranger() {
    let house = House::new().await.without_registry();
    let body = whatsapp("106540352242922", &json!([asks("wamid.1")]));
    assert_eq!(status(&house, signed(WHATSAPP, body)).await, 503);
    assert_eq!(status(&house, update(&private(1, "hello"))).await, 503);
}

#[actix_web::test]
async fn a_registration_of_a_moment_ago_counts() {
    let house = House::new().await;
    house
        .sql("UPDATE binding SET account = '444' WHERE account = '333'")
        .await;
    house
        .sql("UPDATE binding SET body = replace(body, '333', '444') WHERE account = '444'")
        .await;
    house.sql("UPDATE registry_version SET version = version + 1").await;
    let body = whatsapp("444", &json!([asks("wamid.1")]));
    assert_eq!(status(&house, signed(WHATSAPP, body)).await, 200);
    assert_eq!(stored(&house).await, 1);
}

#[actix_web::test]
async fn a_shared_account_leaves_the_business_open() {
    let house = House::new().await;
    let body = whatsapp("999", &json!([asks("wamid.1")]));
    assert_eq!(status(&house, signed(WHATSAPP, body)).await, 200);
    assert_eq!(
        house
            .number("SELECT COUNT(*) FROM request WHERE stage = 'unmatched'")
            .await,
        1
    );
}

/// Where the collected payloads of providers lie, if they are there.
fn providers() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/vectors/providers"));
    place.into_iter().find(|folder| folder.is_dir())
}

#[actix_web::test]
#[expect(clippy::print_stdout, reason = "a test that could not look at everything says so")]
async fn every_payload_of_the_providers_is_taken() {
    let Some(folder) = providers() else {
        println!("skipped: there is no folder shared/vectors/providers beside the workspace");
        return;
    };
    let house = House::new().await;
    let mut tried = 0;
    for channel in ["whatsapp", "messenger", "instagram", "telegram"] {
        for file in fs::read_dir(folder.join(channel)).unwrap() {
            let file = file.unwrap().path();
            let body = fs::read(&file).unwrap();
            let request = match channel {
                "telegram" => post(TELEGRAM, body).insert_header((BOT_HEADER, BOT_SECRET)),
                _ => signed(&format!("/channels/{channel}/smart-reply"), body),
            };
            assert_eq!(status(&house, request).await, 200, "{}", file.display());
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried} payloads");
}
