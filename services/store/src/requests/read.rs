//! Reading requests: one, a page of them, or those that somebody is about to change.

use domain::id::{ControllerId, RequestId};
use domain::request::StageName;
use domain::right::{Channel, Right};
use platform::db::{Args, Db, DbError, Row, Statement, Tx};
use uuid::Uuid;

use super::{SHOWN, Shown, shown, shown_columns};
use crate::scope::{Among, Scope};

/// Rows of one page: a screen or two for a person, few round trips for a program.
pub const PAGE_MAX: i64 = 200;

const SHOW: Statement = Statement::both(
    "requests_show",
    concat!("SELECT ", shown_columns!(), " FROM request WHERE id = $1"),
);

const BY_STATUS: Statement = Statement::both(
    "requests_by_status",
    concat!("SELECT ", shown_columns!(), " FROM request WHERE status_digest = $1"),
);

/// A page's words, for its conditions' places: which controllers, older than what, stage, right, channel, rights, limit.
macro_rules! page {
    ($whose:literal, $before:literal, $stage:literal, $right:literal, $channel:literal, $rights:literal, $limit:literal) => {
        concat!(
            "SELECT ",
            shown_columns!(),
            concat!(" FROM request WHERE ", $whose, " AND id < ", $before),
            concat!(" AND (CAST(", $stage, " AS TEXT) IS NULL OR stage = ", $stage, ")"),
            concat!(" AND (CAST(", $right, " AS TEXT) IS NULL OR exercised = ", $right, ")"),
            concat!(
                " AND (CAST(",
                $channel,
                " AS TEXT) IS NULL OR channel = ",
                $channel,
                ")"
            ),
            concat!(
                " AND (CAST(",
                $rights,
                " AS TEXT) IS NULL OR ",
                $rights,
                " LIKE '%,' || exercised || ',%')"
            ),
            concat!(" ORDER BY id DESC LIMIT ", $limit)
        )
    };
}

const PAGE: Statement = Statement::both("requests_page", page!("true", "$1", "$2", "$3", "$4", "$5", "$6"));

const PAGE_OF: Statement = Statement {
    name: "requests_page_of",
    pg: page!("controller = ANY($1)", "$2", "$3", "$4", "$5", "$6", "$7"),
    lite: page!(
        "controller IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
        "$2",
        "$3",
        "$4",
        "$5",
        "$6",
        "$7"
    ),
};

/// In the order of ids, so that two who change several requests at once take them in the same order.
const LOCK: Statement = Statement {
    name: "requests_lock",
    pg: concat!(
        "SELECT ",
        shown_columns!(),
        ", sealed FROM request WHERE id = ANY($1) ORDER BY id FOR UPDATE"
    ),
    lite: concat!(
        "SELECT ",
        shown_columns!(),
        ", sealed FROM request WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) ORDER BY id"
    ),
};

const EXISTING: Statement = Statement {
    name: "requests_existing",
    pg: "SELECT id FROM request WHERE id = ANY($1)",
    lite: "SELECT id FROM request WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

pub(super) const ALL: &[Statement] = &[SHOW, BY_STATUS, PAGE, PAGE_OF, LOCK, EXISTING];

/// What a page is narrowed to, beyond the caller's scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this controller.
    pub controller: Option<ControllerId>,
    /// In this stage.
    pub stage: Option<StageName>,
    /// Of this right.
    pub right: Option<Right>,
    /// Through this channel.
    pub channel: Option<Channel>,
}

/// One request, if it is there and within the scope: the caller can't tell which of the two it lacks.
pub async fn show(db: &Db, scope: &Scope, id: RequestId) -> Result<Option<Shown>, DbError> {
    let row = db.fetch_optional(&SHOW, Args::new().uuid(id.uuid())).await?;
    let found = row.as_ref().map(shown).transpose()?;
    Ok(found.filter(|found| scope.covers(found.controller, found.right)))
}

/// The request whose status page's token has this digest. The token is the scope: whoever has it may look.
pub async fn by_status(db: &Db, digest: [u8; 32]) -> Result<Option<Shown>, DbError> {
    let row = db.fetch_optional(&BY_STATUS, Args::new().blob(&digest)).await?;
    row.as_ref().map(shown).transpose()
}

/// The newest requests within the scope that are older than `before`, newest first; at most `limit` and [`PAGE_MAX`].
pub async fn page(
    db: &Db,
    scope: &Scope,
    filter: &Filter,
    before: Option<RequestId>,
    limit: i64,
) -> Result<Vec<Shown>, DbError> {
    let Some(controllers) = narrowed(scope, filter.controller) else {
        return Ok(vec![]);
    };
    let rights = rights(scope);
    let (statement, args) = match controllers {
        Among::All => (&PAGE, Args::new()),
        Among::Only(some) => (&PAGE_OF, Args::new().uuids(some.into_iter().map(ControllerId::uuid))),
    };
    let args = args
        .uuid(before.map_or(Uuid::max(), RequestId::uuid))
        .maybe_text(filter.stage.map(StageName::as_str))
        .maybe_text(filter.right.map(Right::as_str))
        .maybe_text(filter.channel.map(Channel::as_str))
        .maybe_text(rights.as_deref())
        .int(limit.clamp(1, PAGE_MAX));
    db.fetch(statement, args).await?.iter().map(shown).collect()
}

/// The requests that are there, for a transaction that is about to change them, with their sealed details (`None`
/// once shredded). On PostgreSQL their rows are locked; SQLite has one writer anyway.
pub async fn lock(tx: &mut Tx, ids: &[RequestId]) -> Result<Vec<(Shown, Option<Vec<u8>>)>, DbError> {
    let rows = tx
        .fetch(&LOCK, Args::new().uuids(ids.iter().map(|id| id.uuid())))
        .await?;
    rows.iter()
        .map(|row: &Row| Ok((shown(row)?, row.get(SHOWN)?)))
        .collect()
}

/// Which of these requests are there; keys of the others are orphans.
pub async fn existing(db: &Db, ids: &[RequestId]) -> Result<Vec<RequestId>, DbError> {
    let rows = db
        .fetch(&EXISTING, Args::new().uuids(ids.iter().map(|id| id.uuid())))
        .await?;
    rows.iter().map(|row| Ok(RequestId::from_uuid(row.get(0)?))).collect()
}

/// The scope's controllers, narrowed to one; `None` if nothing is left.
fn narrowed(scope: &Scope, wanted: Option<ControllerId>) -> Option<Among<ControllerId>> {
    match wanted {
        None => Some(scope.controllers.clone()),
        Some(one) => scope.controllers.includes(&one).then(|| Among::Only(vec![one])),
    }
}

/// The scope's rights as `,deletion,access,`; `None` for all.
fn rights(scope: &Scope) -> Option<String> {
    match &scope.rights {
        Among::All => None,
        Among::Only(some) => Some(
            some.iter()
                .fold(",".to_owned(), |text, right| text + right.as_str() + ","),
        ),
    }
}
