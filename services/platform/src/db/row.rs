//! What comes back from a statement.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};

use super::DbError;

/// A row of either engine; columns are read by place, in the order in which the statement names them.
#[derive(Debug)]
pub enum Row {
    /// From PostgreSQL.
    Pg(PgRow),
    /// From SQLite.
    Lite(SqliteRow),
}

/// What a column can be read as on both engines: `Uuid`, `i64`, `String`, `Vec<u8>`, and `Option` of them.
pub trait Readable<'r>: Decode<'r, Postgres> + Type<Postgres> + Decode<'r, Sqlite> + Type<Sqlite> {}

impl<'r, T: Decode<'r, Postgres> + Type<Postgres> + Decode<'r, Sqlite> + Type<Sqlite>> Readable<'r> for T {}

impl Row {
    /// The column at this place.
    pub fn get<'r, T: Readable<'r>>(&'r self, place: usize) -> Result<T, DbError> {
        Ok(match self {
            Self::Pg(row) => row.try_get(place)?,
            Self::Lite(row) => row.try_get(place)?,
        })
    }

    /// A column that holds a word, an id or a number as text; what does not parse contradicts the program.
    pub fn parse<T: std::str::FromStr>(&self, place: usize, what: &'static str) -> Result<T, DbError> {
        self.get::<String>(place)?
            .parse()
            .map_err(|_| DbError::Inconsistent(what))
    }

    /// A `bytea` column of a fixed length, such as a digest.
    pub fn bytes<const N: usize>(&self, place: usize, what: &'static str) -> Result<[u8; N], DbError> {
        self.get::<Vec<u8>>(place)?
            .try_into()
            .map_err(|_| DbError::Inconsistent(what))
    }
}
