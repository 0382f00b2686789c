use domain::assurance::AssuranceLevel;
use domain::id::ControllerId;
use domain::right::Right;
use platform::secret::{Secret, digest};
use uuid::Uuid;

use super::*;
use crate::fixture::on_each_engine;

const START: i64 = 1_777_885_200;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

fn one() -> ControllerId {
    ControllerId::from_uuid(Uuid::from_u128(1))
}

fn scope() -> TokenScope {
    TokenScope {
        controllers: Controllers::Only([one()].into()),
        rights: Rights::Only([Right::Deletion, Right::Access].into()),
        assurance: AssuranceLevel::ChannelControl,
    }
}

fn token(presented: &str, role: Role, expires_at: Option<Timestamp>) -> Token {
    Token {
        digest: digest(&Secret::new(presented)),
        role,
        label: format!("for {presented}"),
        scope: scope(),
        created_at: at(0),
        expires_at,
        revoked_at: None,
    }
}

#[tokio::test]
async fn a_token_opens_until_it_expires_or_is_revoked() {
    on_each_engine(async |store| {
        let db = store.db();
        let system = Role::System(SystemId::from_uuid(Uuid::from_u128(5)));
        let tokens = [
            token("lasting", Role::Operator, None),
            token("short", Role::Product, Some(at(60))),
            token("system", system, None),
        ];
        for token in &tokens {
            insert(db, token).await.unwrap();
        }
        let finder = Finder::new(db.clone());
        let find = async |presented: &str, seconds| finder.find(&Secret::new(presented), at(seconds)).await.unwrap();
        assert_eq!(find("lasting", 0).await.as_ref(), Some(&tokens[0]));
        assert_eq!(find("system", 0).await.as_ref(), Some(&tokens[2]));
        assert_eq!(find("Lasting", 0).await, None);
        assert_eq!(find("short", 59).await.as_ref(), Some(&tokens[1]));
        assert_eq!(find("short", 60).await, None);

        assert_eq!(revoke(db, &tokens[0].digest, at(7)).await.unwrap(), Revoked::Now);
        assert_eq!(revoke(db, &tokens[0].digest, at(8)).await.unwrap(), Revoked::Nothing);
        assert_eq!(find("lasting", 7).await, None);
        let all = list(db).await.unwrap();
        assert_eq!(all.len(), 3);
        let ended = all.iter().find(|token| token.digest == tokens[0].digest).unwrap();
        assert_eq!(ended.revoked_at, Some(at(7)));
        assert!(insert(db, &tokens[0]).await.unwrap_err().is_refusal());
    })
    .await;
}

#[test]
fn a_scope_is_read_as_it_was_written_or_not_at_all() {
    let text = format!(
        r#"{{"controllers":{{"only":["{}"]}},"rights":{{"only":["deletion","access"]}},"assurance":"channel_control"}}"#,
        one()
    );
    assert_eq!(scope().to_json(), text);
    let everything = TokenScope::everything();
    assert_eq!(
        everything.to_json(),
        r#"{"controllers":"all","rights":"all","assurance":"controller_confirmed"}"#
    );
    for scope in [scope(), everything] {
        assert_eq!(TokenScope::from_json(&scope.to_json()).unwrap(), scope);
    }
    for wrong in [
        r#"{"controllers":"all","rights":"all"}"#,
        r#"{"controllers":"all","rights":"all","assurance":"none","until":"2026"}"#,
        r#"{"controllers":"all","rights":{"only":["erasure"]},"assurance":"none"}"#,
        r#"{"controllers":"some","rights":"all","assurance":"none"}"#,
        r#"{"controllers":{"only":["sys_00000000000000000000000001"]},"rights":"all","assurance":"none"}"#,
        r#"{"controllers":{"only":[],"all":null},"rights":"all","assurance":"none"}"#,
    ] {
        assert!(TokenScope::from_json(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_scope_reaches_what_it_names() {
    let two = ControllerId::from_uuid(Uuid::from_u128(2));
    let scope = scope();
    assert!(scope.controllers.contains(one()) && !scope.controllers.contains(two));
    assert!(scope.rights.contains(Right::Access) && !scope.rights.contains(Right::Correction));
    let everything = TokenScope::everything();
    assert!(everything.controllers.contains(two) && everything.rights.contains(Right::Offboarding));
    assert!(!Controllers::Only([].into()).contains(one()));
}

#[test]
fn roles_print_and_read_back() {
    for role in [
        Role::Product,
        Role::Operator,
        Role::System(SystemId::from_uuid(Uuid::from_u128(5))),
    ] {
        assert_eq!(role.to_string().parse(), Ok(role));
    }
    for wrong in [
        "",
        "Operator",
        "system",
        "system:ctl_00000000000000000000000001",
        "auditor",
    ] {
        assert!(wrong.parse::<Role>().is_err(), "{wrong}");
    }
}
