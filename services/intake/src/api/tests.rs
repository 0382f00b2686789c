use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE};
use actix_web::test::TestRequest;
use domain::assurance::AssuranceLevel;
use domain::right::Right;
use serde_json::{Value, json};
use store::tokens::{self, Controllers, Rights, Role, Token, TokenScope};

use crate::fixture::{Answer, BOOKS, House, OPERATOR, PRODUCT, SWEETS, controller, token};

/// A request that lacks nothing.
fn deletion() -> Value {
    json!({
        "right": "deletion", "controller": {"id": controller(SWEETS)}, "product": "smart-reply", "channel": "whatsapp",
        "subject": {"name": "ليلى", "kind": "customer", "identities": [
            {"kind": "phone", "value": "+970 59 123 4567"}, {"kind": "external:crm", "value": "77"}]},
        "interaction": {"approximately": "2026-05"}, "description": "please delete my chats and photos",
        "assurance": {"level": "account_session", "evidence": "session 1"},
        "jurisdiction": "PS", "locale": "ar", "received_at": "2026-05-04T08:00:00Z",
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut body = deletion();
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(parent.remove(key)),
        value => drop(parent.insert(key.to_owned(), value)),
    }
    body
}

fn posted(body: impl Into<Vec<u8>>, key: &str, token: &str) -> TestRequest {
    TestRequest::post()
        .uri("/v1/requests")
        .insert_header((AUTHORIZATION, format!("Bearer {token}")))
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header(("Idempotency-Key", key))
        .set_payload(body.into())
}

async fn post(house: &House, body: &Value, key: &str) -> Answer {
    house.call(posted(body.to_string(), key, PRODUCT)).await
}

async fn get(house: &House, path: &str, token: &str) -> Answer {
    house
        .call(
            TestRequest::get()
                .uri(path)
                .insert_header((AUTHORIZATION, format!("Bearer {token}"))),
        )
        .await
}

async fn withdraw(house: &House, id: &str) -> Answer {
    let path = format!("/v1/requests/{id}/withdraw");
    house
        .call(
            TestRequest::post()
                .uri(&path)
                .insert_header((AUTHORIZATION, format!("Bearer {PRODUCT}"))),
        )
        .await
}

/// A token for Ramallah Books and its deletions only.
async fn limited(house: &House) -> &'static str {
    let scope = TokenScope {
        controllers: Controllers::Only([controller(BOOKS)].into()),
        rights: Rights::Only([Right::Deletion].into()),
        assurance: AssuranceLevel::None,
    };
    tokens::insert(house.store.db(), &token("limited", scope, house.doors.now()))
        .await
        .unwrap();
    "limited"
}

#[actix_web::test]
async fn a_request_is_accepted_and_repeated_byte_for_byte() {
    let house = House::new().await;
    let answer = post(&house, &deletion(), "k1").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let told = answer.json();
    assert_eq!(told["stage"], "accepted");
    assert_eq!(told["due_at"], "2026-06-04T20:59:59Z", "{told}");
    assert!(told["due_reason"].as_str().unwrap().contains("one month"), "{told}");
    let status_url = told["status_url"].as_str().unwrap();
    let token = status_url.strip_prefix("https://router.example/status/").unwrap();
    assert!(token.len() >= 43, "256 bits");
    let id = told["request"].as_str().unwrap();
    assert_eq!(
        answer.headers.get("location").unwrap().to_str().unwrap(),
        format!("/v1/requests/{id}")
    );

    house.clock.advance(Duration::from_hours(1));
    let again = post(&house, &deletion(), "k1").await;
    assert_eq!((again.status, again.body), (answer.status, answer.body.clone()));
    let other = post(&house, &with("/locale", json!("en")), "k1").await;
    assert_eq!(
        (other.status.as_u16(), other.json()["type"].as_str()),
        (422, Some("/problems/another-body"))
    );
    assert_eq!(house.number("SELECT COUNT(*) FROM request").await, 1);

    // Its day has gone, and what was accepted stays accepted.
    house.clock.advance(Duration::from_hours(24 * 95));
    let late = post(&house, &deletion(), "k1").await;
    assert_eq!((late.status, late.body), (answer.status, answer.body));
    assert_eq!(post(&house, &deletion(), "k2").await.status, 400);

    tokens::insert(
        house.store.db(),
        &self::token("another", TokenScope::everything(), house.doors.now()),
    )
    .await
    .unwrap();
    let body = with("/received_at", Value::Null).to_string();
    let foreign = house.call(posted(body, "k1", "another")).await;
    assert_eq!(foreign.status, 202, "keys are the caller's own: {}", foreign.text());
    assert_eq!(house.number("SELECT COUNT(*) FROM request").await, 2);
}

#[actix_web::test]
async fn what_is_wrong_is_pointed_at_without_its_value() {
    let house = House::new().await;
    let cases = [
        (with("/right", json!("erasure +970")), "/right"),
        (with("/right", Value::Null), "/right"),
        (with("/colour", json!("red")), "/colour"),
        (with("/subject/shoe", json!(1)), "/subject/shoe"),
        (with("/controller", json!({})), "/controller"),
        (
            with("/controller/id", json!("req_00000000000000000000000001")),
            "/controller/id",
        ),
        (
            with("/controller/id", json!("ctl_00000000000000000000000099")),
            "/controller/id",
        ),
        (
            with("/subject/identities", json!([{"kind": "phone", "value": "0591234567"}])),
            "/subject/identities/0/value",
        ),
        (
            with("/subject/identities", json!([{"kind": "shoe", "value": "1"}])),
            "/subject/identities/0/kind",
        ),
        (
            with(
                "/subject/identities",
                json!(vec![json!({"kind": "email", "value": "a@b.example"}); 51]),
            ),
            "/subject/identities",
        ),
        (
            with(
                "/subject/identities",
                json!(vec![json!({"kind": "external:crm", "value": "ي".repeat(256)}); 50]),
            ),
            "/subject/identities",
        ),
        (with("/subject", json!({})), "/subject"),
        (with("/subject/name", json!("a\u{0}b")), "/subject/name"),
        (with("/subject/kind", json!("A Customer")), "/subject/kind"),
        (with("/product", json!("Smart Reply")), "/product"),
        (
            with("/interaction", json!({"approximately": "May"})),
            "/interaction/approximately",
        ),
        (
            with(
                "/interaction",
                json!({"approximately": {"from": "2026-05-04", "to": "2026-05-03"}}),
            ),
            "/interaction/approximately",
        ),
        (with("/description", json!("x".repeat(4_001))), "/description"),
        (with("/requester", json!({"relation": "agent"})), "/requester/authority"),
        (with("/jurisdiction", json!("Palestine")), "/jurisdiction"),
        (with("/locale", json!("a b")), "/locale"),
        (with("/received_at", json!("2026-05-04T10:00:00Z")), "/received_at"),
        (with("/received_at", json!("2026-01-01T00:00:00Z")), "/received_at"),
        (with("/received_at", json!("yesterday")), "/received_at"),
        (with("/right", json!("offboarding")), "/right"),
    ];
    for (body, pointer) in cases {
        let answer = post(&house, &body, "k").await;
        assert_eq!(answer.status, 400, "{pointer}: {}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["type"], "/problems/invalid-body");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert!(
            !answer.text().contains("970") && !answer.text().contains("059123"),
            "{problem}"
        );
    }
    let mut two = with("/product", json!("?"));
    two["locale"] = json!("?");
    assert_eq!(
        post(&house, &two, "k").await.json()["errors"].as_array().unwrap().len(),
        2,
        "all at once"
    );
    assert_eq!(house.number("SELECT COUNT(*) FROM request").await, 0);
}

#[actix_web::test]
async fn a_call_needs_a_token_a_key_and_json() {
    let house = House::new().await;
    let body = deletion().to_string();
    let status = async |request: TestRequest| house.call(request).await.status.as_u16();
    let bare = || TestRequest::post().uri("/v1/requests").set_payload(body.clone());
    let known = (AUTHORIZATION, format!("Bearer {PRODUCT}"));
    let json = (CONTENT_TYPE, "application/json; charset=utf-8");
    assert_eq!(status(bare().insert_header(json.clone())).await, 401);
    assert_eq!(status(posted(body.clone(), "k", "unknown")).await, 401);
    assert_eq!(
        status(bare().insert_header(known.clone()).insert_header(json)).await,
        400,
        "no key"
    );
    assert_eq!(status(posted(body.clone(), "two words", PRODUCT)).await, 400);
    assert_eq!(status(posted(body.clone(), &"k".repeat(256), PRODUCT)).await, 400);
    assert_eq!(
        status(bare().insert_header(known).insert_header(("Idempotency-Key", "k"))).await,
        415
    );
    assert_eq!(status(posted("{", "k", PRODUCT)).await, 400);
    assert_eq!(status(posted(vec![b' '; 70_000], "k", PRODUCT)).await, 413);

    let system = Token {
        role: Role::System(domain::id::SystemId::from_uuid(uuid::Uuid::from_u128(1))),
        ..token("system", TokenScope::everything(), house.doors.now())
    };
    tokens::insert(house.store.db(), &system).await.unwrap();
    assert_eq!(
        status(posted(body.clone(), "k", "system")).await,
        401,
        "opens other doors"
    );
    let until = house.doors.now() + jiff::SignedDuration::from_secs(60);
    let short = Token {
        expires_at: Some(until),
        ..token("short", TokenScope::everything(), house.doors.now())
    };
    tokens::insert(house.store.db(), &short).await.unwrap();
    assert_eq!(status(posted(body.clone(), "k", "short")).await, 202);
    house.clock.advance(Duration::from_mins(1));
    assert_eq!(status(posted(body, "k", "short")).await, 401, "expired");
}

#[actix_web::test]
async fn a_token_reaches_as_far_as_it_says() {
    let house = House::new().await;
    let limited = limited(&house).await;
    let allowed = json!({"right": "deletion", "controller": {"id": controller(BOOKS)},
                         "subject": {"name": "Layla", "identities": [{"kind": "email", "value": "l@a.example"}]}});
    let change = |path: &str, value: Value| {
        let mut body = allowed.clone();
        body[path] = value;
        body
    };
    let cases = [
        (change("right", json!("access")), "/right"),
        (
            change("controller", json!({"id": controller(SWEETS)})),
            "/controller/id",
        ),
        (
            change("controller", json!({"id": "ctl_00000000000000000000000099"})),
            "/controller/id",
        ),
        (
            change("controller", json!({"name": "Nablus Sweets"})),
            "/controller/name",
        ),
        (
            change("assurance", json!({"level": "address_control"})),
            "/assurance/level",
        ),
    ];
    for (body, pointer) in cases {
        let answer = house.call(posted(body.to_string(), "k", limited)).await;
        assert_eq!(answer.status, 403, "{pointer}: {}", answer.text());
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    let own = house.call(posted(allowed.to_string(), "k", limited)).await;
    assert_eq!(own.status, 202, "{}", own.text());
    let foreign = post(&house, &deletion(), "k").await.json();
    let (own, foreign) = (own.json()["request"].clone(), foreign["request"].clone());

    let show = async |id: &Value| get(&house, &format!("/v1/requests/{}", id.as_str().unwrap()), limited).await;
    assert_eq!(
        show(&own).await.json()["stage"],
        "unverified",
        "nothing was shown about the requester"
    );
    let hidden = show(&foreign).await;
    let missing = show(&json!("req_00000000000000000000000001")).await;
    assert_eq!(
        (hidden.status.as_u16(), &hidden.body),
        (404, &missing.body),
        "told apart by nothing"
    );
    assert_eq!(
        get(&house, "/v1/requests", limited).await.json()["requests"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        get(&house, "/v1/requests", PRODUCT).await.json()["requests"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[actix_web::test]
async fn pages_follow_each_other_to_the_end() {
    let house = House::new().await;
    for key in 0..5 {
        house.clock.advance(Duration::from_millis(1));
        post(&house, &with("/received_at", Value::Null), &format!("k{key}")).await;
    }
    let (mut seen, mut next) = (vec![], "limit=2".to_owned());
    loop {
        let page = get(&house, &format!("/v1/requests?stage=ready&{next}"), PRODUCT)
            .await
            .json();
        seen.extend(
            page["requests"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["request"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("limit=2&cursor={cursor}");
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|one, other| one > other), "newest first, each once");
    for strange in [
        "limit=0",
        "limit=201",
        "cursor=x",
        "stage=lost",
        "colour=red",
        "limit=1&limit=2",
    ] {
        let answer = get(&house, &format!("/v1/requests?{strange}"), PRODUCT).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["type"].as_str()),
            (400, Some("/problems/invalid-query")),
            "{strange}"
        );
    }
}

#[actix_web::test]
async fn a_withdrawn_request_stays_withdrawn() {
    let house = House::new().await;
    let id = post(&house, &deletion(), "k").await.json()["request"]
        .as_str()
        .unwrap()
        .to_owned();
    let first = withdraw(&house, &id).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let view = first.json();
    assert_eq!(
        (
            view["stage"].as_str(),
            view["outcome"].as_str(),
            view["version"].as_i64()
        ),
        (Some("closed"), Some("withdrawn"), Some(3))
    );
    let entries = house.number("SELECT COUNT(*) FROM entry WHERE type = 9").await;
    assert_eq!(entries, 1, "the ledger is told");
    house.clock.advance(Duration::from_mins(1));
    let second = withdraw(&house, &id).await;
    assert_eq!((second.status, second.body), (first.status, first.body));
    assert_eq!(house.number("SELECT COUNT(*) FROM entry WHERE type = 9").await, entries);
    assert_eq!(withdraw(&house, "req_00000000000000000000000001").await.status, 404);
    assert_eq!(withdraw(&house, "nonsense").await.status, 404);

    let other = post(&house, &deletion(), "k2").await.json()["request"]
        .as_str()
        .unwrap()
        .to_owned();
    house
        .sql("UPDATE request SET stage = 'closed', outcome = 'fulfilled' WHERE outcome IS NULL")
        .await;
    assert_eq!(withdraw(&house, &other).await.status, 409);
}

#[actix_web::test]
async fn a_named_business_waits_for_the_operator() {
    let house = House::new().await;
    let answer = post(&house, &with("/controller", json!({"name": "Nablus Sweets"})), "k").await;
    let id = answer.json()["request"].as_str().unwrap().to_owned();
    let view = get(&house, &format!("/v1/requests/{id}"), PRODUCT).await.json();
    assert_eq!(view["stage"], "unmatched");
    assert_eq!(view["controller"], controller(OPERATOR).to_string());
    assert_eq!(answer.json()["stage"], "accepted", "the caller can't tell");
}

#[actix_web::test]
async fn the_status_page_shows_how_it_stands_and_nothing_about_the_person() {
    let house = House::new().await;
    let told = post(&house, &deletion(), "k").await.json();
    let path = told["status_url"]
        .as_str()
        .unwrap()
        .strip_prefix("https://router.example")
        .unwrap()
        .to_owned();
    let page = house.call(TestRequest::get().uri(&path)).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers.get("cache-control").unwrap(), "no-store");
    assert_eq!(page.headers.get("referrer-policy").unwrap(), "no-referrer");
    let html = page.text();
    assert!(
        html.contains(told["request"].as_str().unwrap()) && html.contains("dir=\"rtl\""),
        "{html}"
    );
    assert!(
        !html.contains("ليلى") && !html.contains("59123") && !html.contains("sweets"),
        "{html}"
    );
    let other = house
        .call(TestRequest::get().uri("/status/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
        .await;
    assert_eq!(other.status, 404);
}
