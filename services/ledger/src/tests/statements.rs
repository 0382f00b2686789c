use std::collections::BTreeSet;

use platform::db::Row;

use super::*;

/// One line a column, in SQLite's words on both engines.
const COLUMNS: Statement = Statement {
    name: "columns",
    pg: "SELECT table_name || '.' || column_name || ' ' || CASE data_type WHEN 'uuid' THEN 'BLOB' \
         WHEN 'bytea' THEN 'BLOB' WHEN 'bigint' THEN 'INTEGER' ELSE upper(data_type) END || ' ' || is_nullable \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'",
    lite: "SELECT kept.name || '.' || col.name || ' ' || col.type || ' ' || iif(col.\"notnull\" OR col.pk, 'NO', 'YES') \
           FROM sqlite_schema AS kept JOIN pragma_table_info(kept.name) AS col WHERE kept.type = 'table' \
           AND kept.name NOT IN ('_sqlx_migrations', 'sqlite_sequence')",
};

#[tokio::test]
async fn every_statement_prepares() {
    on_each_engine(async |bench| {
        for statement in crate::statements() {
            let prepared = bench.db.prepare(statement).await;
            assert!(prepared.is_ok(), "{}: {:?}", statement.name, prepared.err());
        }
    })
    .await;
}

#[tokio::test]
async fn both_engines_have_the_same_columns() {
    let columns = async |bench: Bench| {
        let rows = bench.db.fetch(&COLUMNS, Args::new()).await.unwrap();
        rows.iter()
            .map(|row: &Row| row.get(0).unwrap())
            .collect::<BTreeSet<String>>()
    };
    let lite = columns(Bench::new().await).await;
    assert!(lite.contains("entry.leaf_index INTEGER NO"), "{lite:?}");
    if let Some(pg) = on_postgres(columns).await {
        assert_eq!(lite, pg);
    }
}
