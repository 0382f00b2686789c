//! The trap table: one good token for each algorithm, and everything that must not pass for one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::{RequestId, TaskId};
use domain::receipt::{Artifact, CategoryOutcome, CategoryResult, Completion, Outcome, Report, Vocabulary};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::bind::{BindingError, TaskFacts, bind};
use super::refusal::Fault;
use super::sign::{Claims, compact, sign_report, sign_statement};
use super::*;
use crate::entry::body::StatementKind;
use crate::jwk::TokenKey;

const ISSUER: &str = "https://nablus-sweets.example";
const AUDIENCE: &str = "https://router.example";
const TASK_DIGEST: [u8; 32] = [5; 32];

fn key(algorithm: Algorithm) -> TokenKey {
    TokenKey::new(algorithm, &[7; 32]).unwrap()
}

fn task() -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(1))
}

fn request() -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(2))
}

fn signed_at() -> Timestamp {
    Timestamp::from_second(1_777_885_300).unwrap()
}

fn completion() -> Completion {
    let result = |category: &str, outcome| CategoryResult {
        category: category.into(),
        outcome,
        count: None,
        basis: None,
        citation: None,
        erase_after: None,
    };
    let kept = CategoryResult {
        basis: Some("tax_law".into()),
        citation: Some("national tax law".into()),
        erase_after: Some("2033-05-04".parse().unwrap()),
        ..result("invoices", CategoryOutcome::Retained)
    };
    let gone = CategoryResult {
        count: Some(42),
        ..result("conversations", CategoryOutcome::Erased)
    };
    Completion {
        task: task(),
        task_digest: TASK_DIGEST,
        outcome: Outcome::Partial,
        results: vec![gone, kept],
        artifact: None,
        attachments: vec![],
    }
}

fn claims() -> Claims<'static> {
    Claims {
        issuer: ISSUER,
        audience: AUDIENCE,
        issued_at: signed_at(),
        occurred_at: Some(signed_at() - SignedDuration::from_secs(12)),
        jti: Uuid::from_u128(3),
        request: request(),
    }
}

fn good(algorithm: Algorithm) -> String {
    sign_report(&claims(), &Report::Completed(completion()), &key(algorithm))
}

/// Verifies with a registry that holds this algorithm's key alone.
fn verified(token: impl AsRef<[u8]>, algorithm: Algorithm) -> Result<VerifiedReceipt, Refusal> {
    let registered = RegisteredKey::new(ISSUER, &key(algorithm).jwk());
    let keys = |issuer: &str, kid: &str| (issuer == ISSUER && kid == registered.kid).then_some(&registered);
    verify(token.as_ref(), keys, AUDIENCE)
}

/// Header and claims of a good token, to be changed and signed again by the right key.
fn parts() -> (String, String) {
    let token = good(Algorithm::EdDsa);
    let read = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (message, _) = token.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    (read(header), read(claims))
}

fn changed<'a>(text: &'a str, from: &str, to: &str) -> std::borrow::Cow<'a, str> {
    assert!(text.contains(from), "{from} does not stand in {text}");
    text.replacen(from, to, 1).into()
}

/// What becomes of the good token when its header is changed, and the rightful key signs that.
fn header(from: &str, to: &str) -> Result<VerifiedReceipt, Refusal> {
    let (header, claims) = parts();
    verified(
        compact(&changed(&header, from, to), &claims, &key(Algorithm::EdDsa)),
        Algorithm::EdDsa,
    )
}

/// The same for its claims.
fn claim(from: &str, to: &str) -> Result<VerifiedReceipt, Refusal> {
    let (header, claims) = parts();
    verified(
        compact(&header, &changed(&claims, from, to), &key(Algorithm::EdDsa)),
        Algorithm::EdDsa,
    )
}

fn is_ok(result: Result<VerifiedReceipt, Refusal>) {
    assert_eq!(
        result.map(|receipt| receipt.report),
        Ok(Report::Completed(completion()))
    );
}

#[test]
fn good_tokens_of_both_algorithms_hold() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let receipt = verified(good(algorithm), algorithm).unwrap();
        assert_eq!(receipt.report, Report::Completed(completion()));
        assert_eq!(
            (receipt.issuer.as_str(), receipt.request, receipt.jti),
            (ISSUER, request(), claims().jti)
        );
        assert_eq!(
            (receipt.issued_at, receipt.occurred_at),
            (signed_at(), claims().occurred_at)
        );
    }
}

#[test]
fn both_names_of_ed25519_are_read_and_members_may_stand_in_any_order() {
    is_ok(header(r#""EdDSA""#, r#""Ed25519""#));
    let kid = key(Algorithm::EdDsa).kid().to_owned();
    let reordered = format!(r#" {{ "kid":"{kid}", "\u0061lg":"EdDSA","typ":"application/SecEvent+JWT"}}"#);
    is_ok(verified(
        compact(&reordered, &parts().1, &key(Algorithm::EdDsa)),
        Algorithm::EdDsa,
    ));
    is_ok(claim(r#""artifact":null,"#, ""));
    is_ok(claim(r#","attachments":[]"#, ""));
}

#[test]
fn iss_is_one_registered_text() {
    let iss = format!(r#""iss":"{ISSUER}""#);
    for other in [
        r#""iss":123"#,
        r#""iss":["https://nablus-sweets.example","evil"]"#,
        r#""iss":{}"#,
        r#""iss":null"#,
    ] {
        assert_eq!(claim(&iss, other), Err(Refusal::Issuer), "{other}");
    }
    assert_eq!(claim(&format!("{iss},"), ""), Err(Refusal::Issuer));
    assert_eq!(
        claim(&iss, r#""iss":"https://other.example""#),
        Err(Refusal::UnknownKey)
    );
    // A registry that hands out another issuer's key for the asking.
    let registered = RegisteredKey::new("https://other.example", &key(Algorithm::EdDsa).jwk());
    let foreign = verify(good(Algorithm::EdDsa).as_bytes(), |_, _| Some(&registered), AUDIENCE);
    assert_eq!(foreign, Err(Refusal::UnknownKey));
}

#[test]
fn aud_is_us_and_nobody_else() {
    let aud = format!(r#""aud":"{AUDIENCE}""#);
    for other in [
        r#""aud":["https://router.example"]"#,
        r#""aud":{}"#,
        r#""aud":1"#,
        r#""aud":null"#,
        r#""aud":"https://router.example/""#,
        r#""aud":"https://ROUTER.example""#,
        r#""aud":"https://other.example""#,
    ] {
        assert_eq!(claim(&aud, other), Err(Refusal::Audience), "{other}");
    }
    assert_eq!(claim(&format!("{aud},"), ""), Err(Refusal::Audience));
}

#[test]
fn the_header_has_no_room_for_anything_else() {
    for more in [
        r#""crit":["b64"],"b64":false"#,
        r#""crit":[]"#,
        r#""b64":false"#,
        r#""jku":"https://evil.example/jwks""#,
        r#""jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#""x5u":"https://evil.example/cert""#,
        r#""x5c":[]"#,
        r#""zip":"DEF""#,
        r#""cty":"json""#,
    ] {
        assert_eq!(
            header("{", &format!("{{{more},")),
            Err(Refusal::Header(Fault::Unknown)),
            "{more}"
        );
    }
    assert_eq!(
        header(r#""typ":"secevent+jwt","#, ""),
        Err(Refusal::Header(Fault::Missing("typ")))
    );
    let (_, claims) = parts();
    for other in [
        r#"["EdDSA","secevent+jwt","kid"]"#,
        "",
        "null",
        "\"EdDSA\"",
        "{",
        "{}{}",
    ] {
        let token = compact(other, &claims, &key(Algorithm::EdDsa));
        assert_eq!(
            verified(token, Algorithm::EdDsa),
            Err(Refusal::Header(Fault::NotAnObject)),
            "{other}"
        );
    }
}

#[test]
fn typ_is_a_security_event_token() {
    for other in [
        "JWT",
        "jwt",
        "application/jwt",
        "at+jwt",
        "text/secevent+jwt",
        "secevent+jwt;x",
        "",
    ] {
        assert_eq!(header("secevent+jwt", other), Err(Refusal::Type), "{other}");
    }
    assert_eq!(
        header(r#""secevent+jwt""#, r#"["secevent+jwt"]"#),
        Err(Refusal::Header(Fault::Value("typ")))
    );
}

#[test]
fn alg_is_the_registered_key_s() {
    for other in [
        "none", "None", "HS256", "HS512", "RS256", "ES384", "ES256K", "eddsa", "",
    ] {
        assert_eq!(header("EdDSA", other), Err(Refusal::Algorithm), "{other}");
    }
    // An Ed25519 signature that calls itself ES256, and the other way round.
    assert_eq!(header("EdDSA", "ES256"), Err(Refusal::Algorithm));
    let (head, claims) = parts();
    let es256 = key(Algorithm::Es256);
    let confused = changed(&head, key(Algorithm::EdDsa).kid(), es256.kid()).into_owned();
    assert_eq!(
        verified(compact(&confused, &claims, &es256), Algorithm::Es256),
        Err(Refusal::Algorithm)
    );
}

#[test]
fn no_signature_is_none_and_hmac_with_the_public_key_is_none() {
    let token = good(Algorithm::EdDsa);
    let (message, _) = token.rsplit_once('.').unwrap();
    for bare in [message.to_owned(), format!("{message}."), format!("{message}.e30")] {
        assert_eq!(verified(bare, Algorithm::EdDsa), Err(Refusal::Compact));
    }
    let public = key(Algorithm::EdDsa).jwk().point();
    let (head, claims) = parts();
    for (alg, refusal) in [("HS256", Refusal::Compact), ("HS512", Refusal::Algorithm)] {
        let head = changed(&head, "EdDSA", alg).into_owned();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(&claims));
        let kind = if alg == "HS256" {
            aws_lc_rs::hmac::HMAC_SHA256
        } else {
            aws_lc_rs::hmac::HMAC_SHA512
        };
        let mac = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(kind, &public), message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.as_ref()));
        assert_eq!(verified(token, Algorithm::EdDsa), Err(refusal), "{alg}");
    }
}

#[test]
fn members_stand_once() {
    assert_eq!(
        header(r#"{"alg""#, r#"{"alg":"none","alg""#),
        Err(Refusal::Header(Fault::Repeated))
    );
    assert_eq!(
        header(r#"{"alg""#, r#"{"\u0061lg":"none","alg""#),
        Err(Refusal::Header(Fault::Repeated))
    );
    assert_eq!(
        claim(r#"{"iss""#, r#"{"iss":"evil","iss""#),
        Err(Refusal::Claims(Fault::Repeated))
    );
    assert_eq!(
        claim(r#""outcome":"partial""#, r#""outcome":"completed","outcome":"partial""#),
        Err(Refusal::Payload(Fault::Repeated))
    );
    assert_eq!(
        claim(r#""count":42"#, r#""count":1,"count":42"#),
        Err(Refusal::Payload(Fault::Repeated))
    );
    let completed = format!(r#""{AUDIENCE}/schemas/events/task-completed":"#);
    assert_eq!(
        claim(&completed, &format!("{completed}{{}},{completed}")),
        Err(Refusal::Event)
    );
}

#[test]
fn claims_are_exactly_those_of_a_receipt() {
    for more in [
        r#""exp":4000000000"#,
        r#""nbf":0"#,
        r#""sub":"Layla Qasim""#,
        r#""sub_id":{}"#,
        r#""note":"x""#,
    ] {
        assert_eq!(
            claim("{", &format!("{{{more},")),
            Err(Refusal::Claims(Fault::Unknown)),
            "{more}"
        );
    }
    for (from, to, member) in [
        (r#""iat":1777885300"#, r#""iat":"1777885300""#, "iat"),
        (r#""iat":1777885300"#, r#""iat":1777885300.5"#, "iat"),
        (r#""iat":1777885300"#, r#""iat":-1"#, "iat"),
        (r#""iat":1777885300"#, r#""iat":99999999999999"#, "iat"),
        (r#""toe":1777885288"#, r#""toe":true"#, "toe"),
        (r#""toe":1777885288"#, r#""toe":1777885301"#, "toe"),
        (
            "00000000-0000-0000-0000-000000000003",
            "00000000000000000000000000000003",
            "jti",
        ),
        (
            "00000000-0000-0000-0000-000000000003",
            "{00000000-0000-0000-0000-000000000003}",
            "jti",
        ),
        ("00000000-0000-0000-0000-000000000003", "layla", "jti"),
        (r#""txn":"req_"#, r#""txn":"task_"#, "txn"),
    ] {
        assert_eq!(claim(from, to), Err(Refusal::Claims(Fault::Value(member))), "{to}");
    }
    assert_eq!(
        claim(r#""iat":1777885300,"#, ""),
        Err(Refusal::Claims(Fault::Missing("iat")))
    );
    let (head, claims) = parts();
    let twice = format!("{claims}{claims}");
    let token = compact(&head, &twice, &key(Algorithm::EdDsa));
    assert_eq!(
        verified(token, Algorithm::EdDsa),
        Err(Refusal::Claims(Fault::NotAnObject))
    );
}

#[test]
fn one_event_of_ours() {
    for other in ["task-done", "task-completed/", "task-stated", "request-received", ""] {
        assert_eq!(claim("task-completed", other), Err(Refusal::Event), "{other}");
    }
    assert_eq!(
        claim("https://router.example/schemas", "https://evil.example/schemas"),
        Err(Refusal::Event)
    );
    assert_eq!(
        claim(r#""events":{"#, r#""events":{"https://other.example/e":{},"#),
        Err(Refusal::Event)
    );
    let (head, claims) = parts();
    let none = format!("{}\"events\":{{}}}}", claims.split_once("\"events\"").unwrap().0);
    let array = none.replace("{}}", "[]}");
    for claims in [none, array] {
        let token = compact(&head, &claims, &key(Algorithm::EdDsa));
        assert_eq!(verified(token, Algorithm::EdDsa), Err(Refusal::Event), "{claims}");
    }
}

#[test]
fn the_event_has_no_room_for_a_person() {
    for (from, to, fault) in [
        (
            r#""outcome":"partial""#,
            r#""outcome":"partial","remarks":"Layla""#,
            Fault::Unknown,
        ),
        (r#""count":42"#, r#""count":42,"note":"Layla""#, Fault::Unknown),
        (r#""count":42"#, r#""count":970591234567"#, Fault::Value("count")),
        (r#""count":42"#, r#""count":42.0"#, Fault::Value("count")),
        (r#""count":42"#, r#""count":-1"#, Fault::Value("count")),
        (
            r#""outcome":"partial""#,
            r#""outcome":"Layla""#,
            Fault::Value("outcome"),
        ),
        (r#""outcome":"partial""#, r#""outcome":null"#, Fault::Value("outcome")),
        ("2033-05-04", "2033-05-04T00:00[Layla]", Fault::Value("erase_after")),
        ("2033-05-04", "20330504", Fault::Value("erase_after")),
        (
            r#""attachments":[]"#,
            r#""attachments":["Layla.zip"]"#,
            Fault::Value("attachments"),
        ),
        (
            r#""results":["#,
            r#""results":[["conversations","erased"],"#,
            Fault::NotAnObject,
        ),
        (r#""task":"task_"#, r#""task":"req_"#, Fault::Value("task")),
        (
            r#""task_digest":"sha-256=:"#,
            r#""task_digest":"sha-512=:"#,
            Fault::Value("task_digest"),
        ),
    ] {
        assert_eq!(claim(from, to), Err(Refusal::Payload(fault)), "{to}");
    }
    let many = format!(r#""results":[{}"#, r#"{"category":"a","outcome":"erased"},"#.repeat(64));
    assert_eq!(
        claim(r#""results":["#, &many),
        Err(Refusal::Payload(Fault::Value("results")))
    );
    let flood: String = (0..20)
        .map(|number| format!("\"m{number}\":0,"))
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(
        claim(r#""outcome":"partial""#, &format!(r#"{flood}"outcome":"partial""#)),
        Err(Refusal::Payload(Fault::Unknown))
    );
}

#[test]
fn base64url_has_one_spelling() {
    let token = good(Algorithm::EdDsa);
    let parts: Vec<&str> = token.split('.').collect();
    let spelt = |place: usize, part: String| {
        let mut parts: Vec<String> = parts.iter().map(|&part| part.to_owned()).collect();
        parts[place] = part;
        verified(parts.join("."), Algorithm::EdDsa)
    };
    for (place, part) in parts.iter().enumerate() {
        for bent in [
            format!("{part}="),
            format!("{part}=="),
            format!("{part}\n"),
            format!(" {part}"),
            format!("{part}+"),
        ] {
            assert_eq!(spelt(place, bent.clone()), Err(Refusal::Compact), "{bent}");
        }
    }
    // 64 bytes leave four unused bits in the last character, which must be zero.
    let (head, last) = parts[2].split_at(85);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.as_bytes()[alphabet.find(last).unwrap() + 1] as char;
    assert_eq!(spelt(2, format!("{head}{next}")), Err(Refusal::Compact));
}

#[test]
fn three_parts_of_at_most_16_kib_and_nothing_behind_them() {
    let token = good(Algorithm::EdDsa);
    for bad in [
        format!("{token}."),
        format!("{token}.e30"),
        format!("{token}\r\n"),
        format!("\u{feff}{token}"),
        String::new(),
    ] {
        assert_eq!(verified(bad, Algorithm::EdDsa), Err(Refusal::Compact));
    }
    assert_eq!(
        verified([token.as_bytes(), &[0]].concat(), Algorithm::EdDsa),
        Err(Refusal::Compact)
    );
    assert_eq!(verified([0xff; 10], Algorithm::EdDsa), Err(Refusal::Compact));
    // A token that is good in everything but its length: white space in the claims is legal JSON.
    let (head, claims) = parts();
    let padded = |spaces| {
        compact(
            &head,
            &format!("{claims}{}", " ".repeat(spaces)),
            &key(Algorithm::EdDsa),
        )
    };
    is_ok(verified(padded(10_000), Algorithm::EdDsa));
    assert_eq!(verified(padded(16_000), Algorithm::EdDsa), Err(Refusal::TooLong));
}

#[test]
fn each_changed_character_is_seen() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let token = good(algorithm);
        for place in (0..token.len()).step_by(3) {
            let mut bent = token.clone().into_bytes();
            bent[place] = if bent[place] == b'A' { b'B' } else { b'A' };
            if bent != token.as_bytes() {
                assert!(verified(bent, algorithm).is_err(), "{place}");
            }
        }
        let stranger = TokenKey::new(algorithm, &[9; 32]).unwrap();
        let forged = sign_report(&claims(), &Report::Completed(completion()), &stranger);
        assert_eq!(verified(&forged, algorithm), Err(Refusal::UnknownKey));
        // The stranger names the registered key.
        let (head, claims) = parts();
        let head = changed(&head, key(Algorithm::EdDsa).kid(), key(algorithm).kid()).into_owned();
        let head = changed(&head, "EdDSA", algorithm.as_str()).into_owned();
        assert_eq!(
            verified(compact(&head, &claims, &stranger), algorithm),
            Err(Refusal::Signature)
        );
    }
}

#[test]
fn every_report_reads_back() {
    let package = Artifact {
        sha256: [0xab; 32],
        bytes: 12_345,
        expires_at: signed_at(),
    };
    let full = Completion {
        artifact: Some(package),
        attachments: vec![[1; 32], [2; 32]],
        ..completion()
    };
    let reports = [
        Report::Completed(full.clone()),
        Report::Acknowledged {
            task: task(),
            task_digest: TASK_DIGEST,
            by: signed_at(),
        },
        Report::Amended {
            completion: full,
            supersedes: Uuid::from_u128(9),
        },
    ];
    for report in reports {
        let token = sign_report(&claims(), &report, &key(Algorithm::EdDsa));
        assert_eq!(verified(token, Algorithm::EdDsa).unwrap().report, report);
    }
}

#[test]
fn the_same_said_again_is_told_from_something_else() {
    let digest = |claims: &Claims<'_>, completion: Completion| {
        let token = sign_report(claims, &Report::Completed(completion), &key(Algorithm::EdDsa));
        verified(token, Algorithm::EdDsa).unwrap().report_digest()
    };
    let later = Claims {
        issued_at: signed_at() + SignedDuration::from_secs(60),
        ..claims()
    };
    assert_eq!(digest(&claims(), completion()), digest(&later, completion()));
    let otherwise = Completion {
        outcome: Outcome::Failed,
        ..completion()
    };
    assert_ne!(digest(&claims(), completion()), digest(&claims(), otherwise));
}

#[test]
fn a_receipt_is_bound_to_its_task() {
    let receipt = verified(good(Algorithm::EdDsa), Algorithm::EdDsa).unwrap();
    let created_at = signed_at() - SignedDuration::from_mins(1);
    let facts = TaskFacts {
        task: task(),
        request: request(),
        issuer: ISSUER,
        digest: TASK_DIGEST,
        created_at,
    };
    let bound = |facts: &TaskFacts<'_>, now| bind(&receipt, facts, Vocabulary::standard(), now);
    let minutes = SignedDuration::from_mins;
    assert_eq!(bound(&facts, signed_at()), Ok(()));
    assert_eq!(bound(&facts, signed_at() - minutes(5)), Ok(()));
    assert_eq!(bound(&facts, signed_at() - minutes(6)), Err(BindingError::TooLate));
    let late = TaskFacts {
        created_at: signed_at() + minutes(6),
        ..facts.clone()
    };
    assert_eq!(bound(&late, signed_at() + minutes(6)), Err(BindingError::TooEarly));
    for other in [
        TaskFacts {
            task: TaskId::from_uuid(Uuid::from_u128(8)),
            ..facts.clone()
        },
        TaskFacts {
            request: RequestId::from_uuid(Uuid::from_u128(8)),
            ..facts.clone()
        },
        TaskFacts {
            issuer: "https://other.example",
            ..facts.clone()
        },
    ] {
        assert_eq!(bound(&other, signed_at()), Err(BindingError::NotYours));
    }
    let other = TaskFacts {
        digest: [6; 32],
        ..facts.clone()
    };
    assert_eq!(bound(&other, signed_at()), Err(BindingError::Digest));
    let unlisted = Vocabulary {
        categories: ["invoices".into()].into(),
        ..Vocabulary::standard().clone()
    };
    let result = bind(&receipt, &facts, &unlisted, signed_at());
    assert!(matches!(result, Err(BindingError::Completion(_))), "{result:?}");
    assert_eq!(receipt.outcome(), Some(Outcome::Partial));
}

#[test]
fn our_own_statements_hold_for_whom_they_are_made() {
    let (issuer, audience) = (AUDIENCE, ISSUER);
    let ours = Claims {
        issuer,
        audience,
        ..claims()
    };
    let registered = RegisteredKey::new(issuer, &key(Algorithm::EdDsa).jwk());
    let stated = Said::Stated {
        task: Some(task()),
        kind: StatementKind::NoReceipt,
        approver: None,
    };
    let received = Said::Received {
        intake_seq: 7,
        received_at: signed_at(),
    };
    for said in [stated, received] {
        let token = sign_statement(&ours, &said, &key(Algorithm::EdDsa));
        assert_eq!(verify_statement(token.as_bytes(), &registered, audience), Ok(said));
        assert_eq!(
            verify_statement(token.as_bytes(), &registered, "https://other.example"),
            Err(Refusal::Audience)
        );
        // It is no receipt, wherever it is sent.
        assert_eq!(
            verify(token.as_bytes(), |_, _| Some(&registered), audience),
            Err(Refusal::Event)
        );
    }
    let receipt = good(Algorithm::EdDsa);
    assert_eq!(
        verify_statement(receipt.as_bytes(), &registered, AUDIENCE),
        Err(Refusal::Event)
    );
}

#[test]
fn refusals_have_the_codes_of_rfc_8935() {
    for (refusal, code) in [
        (Refusal::TooLong, "invalid_request"),
        (Refusal::Payload(Fault::Unknown), "invalid_request"),
        (Refusal::UnknownKey, "invalid_key"),
        (Refusal::Algorithm, "invalid_key"),
        (Refusal::Issuer, "invalid_issuer"),
        (Refusal::Audience, "invalid_audience"),
        (Refusal::Signature, "authentication_failed"),
        (Refusal::Unbound(BindingError::NotYours), "access_denied"),
        (Refusal::Unbound(BindingError::Digest), "invalid_request"),
    ] {
        assert_eq!(refusal.code().as_str(), code, "{refusal}");
    }
}

#[derive(serde::Deserialize)]
struct Others {
    issuer: String,
    audience: String,
    tokens: Vec<OtherToken>,
}

#[derive(serde::Deserialize)]
struct OtherToken {
    name: String,
    jwk: Jwk,
    token: String,
}

/// Signed by another implementation, so that we don't only agree with ourselves.
#[test]
fn tokens_that_others_signed_hold() {
    let others = include_str!("../../../../tests/vectors/receipt-tokens.json");
    let others: Others = serde_json::from_str(others).unwrap();
    assert_eq!(others.tokens.len(), 3);
    for OtherToken { name, jwk, token } in &others.tokens {
        let registered = RegisteredKey::new(&others.issuer, jwk);
        let receipt = verify(token.as_bytes(), |_, _| Some(&registered), &others.audience);
        assert_eq!(receipt.unwrap().outcome(), Some(Outcome::Partial), "{name}");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let bent = format!("{message}.{}", signature.chars().rev().collect::<String>());
        assert!(
            verify(bent.as_bytes(), |_, _| Some(&registered), &others.audience).is_err(),
            "{name}"
        );
    }
}
