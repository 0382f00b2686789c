use super::*;

async fn every_statement_prepares(db: &Db) {
    db.migrate(&MIGRATIONS).await.unwrap();
    db.check_schema(&MIGRATIONS).await.unwrap();
    for statement in crate::statements() {
        let prepared = db.prepare(statement).await;
        assert!(prepared.is_ok(), "{}: {:?}", statement.name, prepared.err());
    }
}

#[tokio::test]
async fn every_statement_prepares_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    every_statement_prepares(&open(&folder.path().join("ledger.db")).await).await;
}

/// On the database that `QUITTANCE_TEST_PG` names, which must be empty or this crate's.
#[tokio::test]
async fn every_statement_prepares_on_postgresql() {
    let Ok(url) = std::env::var("QUITTANCE_TEST_PG") else {
        return;
    };
    let options = DbOptions {
        max_connections: 2,
        application: "test",
    };
    every_statement_prepares(&connect(&url, &options).await.unwrap()).await;
}
