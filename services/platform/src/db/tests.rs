use uuid::Uuid;

use super::*;

const MAKE: Statement = Statement::both(
    "make",
    "CREATE TABLE thing (id BLOB, number BIGINT, word TEXT, body BLOB)",
);

const INSERT: Statement = Statement {
    name: "insert",
    pg: "",
    lite: "INSERT INTO thing SELECT unhex(value ->> 0), value ->> 1, value ->> 2, unhex(value ->> 3) FROM jsonb_each($1)",
};

const SELECT: Statement = Statement::both(
    "select",
    "SELECT id, number, word, body FROM thing WHERE number >= $1 ORDER BY number",
);

async fn database(folder: &std::path::Path) -> Db {
    let url = format!("sqlite:{}", folder.join("t.db").display());
    let db = connect(
        &url,
        &DbOptions {
            max_connections: 1,
            application: "test",
        },
    )
    .await
    .unwrap();
    db.execute(&MAKE, Args::new()).await.unwrap();
    db
}

fn three() -> Args<'static> {
    let ids = [1, 2, 3].map(Uuid::from_u128);
    let words = [Some("ألف"), None, Some("\"quoted\"")];
    Args::new()
        .uuids(ids)
        .ints([1, 2, 3])
        .maybe_texts(words)
        .blobs([&b"\x00\xff"[..], b"", b"x"])
}

#[tokio::test]
async fn columns_go_in_and_rows_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(folder.path()).await;
    assert_eq!(db.execute(&INSERT, three()).await.unwrap(), 3);
    let rows = db.fetch(&SELECT, Args::new().int(1)).await.unwrap();
    let read: Vec<(Uuid, Option<String>, Vec<u8>)> = rows
        .iter()
        .map(|row| (row.get(0).unwrap(), row.get(2).unwrap(), row.get(3).unwrap()))
        .collect();
    assert_eq!(read[0], (Uuid::from_u128(1), Some("ألف".into()), vec![0, 255]));
    assert_eq!(read[1].1, None);
    assert_eq!(read[2].1.as_deref(), Some("\"quoted\""));
}

#[tokio::test]
async fn an_error_undoes_the_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(folder.path()).await;
    let failed: Result<(), DbError> = db
        .transaction("test", |tx| {
            Box::pin(async move {
                tx.execute(&INSERT, three()).await?;
                Err(DbError::Inconsistent("for the test"))
            })
        })
        .await;
    assert!(failed.is_err());
    assert!(db.fetch(&SELECT, Args::new().int(0)).await.unwrap().is_empty());
}

#[tokio::test]
async fn transactions_can_be_spawned() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(folder.path()).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let db = db.clone();
            let insert = async move |db: Db| {
                db.transaction("test", |tx| Box::pin(async move { tx.execute(&INSERT, three()).await }))
                    .await
            };
            tokio::spawn(insert(db))
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 3);
    }
    assert_eq!(db.fetch(&SELECT, Args::new().int(0)).await.unwrap().len(), 24);
}
