//! What a statement is given: whole columns first, then single values.

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{Arguments, Encode, Type};
use uuid::Uuid;

use super::{DbError, Statement};

/// Arguments of one statement. Columns must be of one length, and come before single values.
#[derive(Debug, Default)]
pub struct Args<'q> {
    columns: Vec<Column<'q>>,
    singles: Vec<Single<'q>>,
}

#[derive(Debug)]
enum Column<'q> {
    Uuids(Vec<Option<Uuid>>),
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<&'q str>>),
    Bytes(Vec<Option<&'q [u8]>>),
}

#[derive(Debug)]
enum Single<'q> {
    Uuid(Option<Uuid>),
    Int(Option<i64>),
    Text(Option<&'q str>),
    Bytes(Option<&'q [u8]>),
}

macro_rules! columns {
    ($($(#[$doc:meta])* $many:ident, $maybe:ident -> $column:ident, $one:ident, $one_maybe:ident -> $single:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $many(self, values: impl IntoIterator<Item = $type>) -> Self {
            self.$maybe(values.into_iter().map(Some))
        }

        /// The same column, with NULLs.
        #[must_use]
        pub fn $maybe(mut self, values: impl IntoIterator<Item = Option<$type>>) -> Self {
            self.columns.push(Column::$column(values.into_iter().collect()));
            self
        }

        /// The single value of that type.
        #[must_use]
        pub fn $one(self, value: $type) -> Self {
            self.$one_maybe(Some(value))
        }

        /// The single value of that type, or NULL.
        #[must_use]
        pub fn $one_maybe(mut self, value: Option<$type>) -> Self {
            self.singles.push(Single::$single(value));
            self
        }
    )*};
}

impl<'q> Args<'q> {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    columns! {
        /// A column of `uuid`.
        uuids, maybe_uuids -> Uuids, uuid, maybe_uuid -> Uuid: Uuid;
        /// A column of `int8`.
        ints, maybe_ints -> Ints, int, maybe_int -> Int: i64;
        /// A column of `text`.
        texts, maybe_texts -> Texts, text, maybe_text -> Text: &'q str;
        /// A column of `bytea`; SQLite gets it as hex, for `unhex`.
        blobs, maybe_blobs -> Bytes, blob, maybe_blob -> Bytes: &'q [u8];
    }

    pub(super) fn pg(self, statement: &Statement) -> Result<Query<'static, Postgres, PgArguments>, DbError> {
        let mut arguments = PgArguments::default();
        for column in self.columns {
            match column {
                Column::Uuids(values) => add_pg(&mut arguments, values),
                Column::Ints(values) => add_pg(&mut arguments, values),
                Column::Texts(values) => add_pg(&mut arguments, values),
                Column::Bytes(values) => add_pg(&mut arguments, values),
            }?;
        }
        for single in self.singles {
            match single {
                Single::Uuid(value) => add_pg(&mut arguments, value),
                Single::Int(value) => add_pg(&mut arguments, value),
                Single::Text(value) => add_pg(&mut arguments, value),
                Single::Bytes(value) => add_pg(&mut arguments, value),
            }?;
        }
        Ok(sqlx::query_with(statement.pg, arguments))
    }

    pub(super) fn lite(self, statement: &Statement) -> Result<Query<'static, Sqlite, SqliteArguments>, DbError> {
        let mut arguments = SqliteArguments::default();
        if !self.columns.is_empty() {
            add_lite(&mut arguments, rows(&self.columns))?;
        }
        for single in self.singles {
            match single {
                Single::Uuid(value) => add_lite(&mut arguments, value),
                Single::Int(value) => add_lite(&mut arguments, value),
                Single::Text(value) => add_lite(&mut arguments, value.map(str::to_owned)),
                Single::Bytes(value) => add_lite(&mut arguments, value.map(<[u8]>::to_vec)),
            }?;
        }
        Ok(sqlx::query_with(statement.lite, arguments))
    }
}

fn add_pg<'q, T: Encode<'q, Postgres> + Type<Postgres> + 'q>(to: &mut PgArguments, value: T) -> Result<(), DbError> {
    to.add(value)
        .map_err(|error| DbError::Driver(sqlx::Error::Encode(error)))
}

fn add_lite<'q, T: Encode<'q, Sqlite> + Type<Sqlite> + 'q>(to: &mut SqliteArguments, value: T) -> Result<(), DbError> {
    to.add(value)
        .map_err(|error| DbError::Driver(sqlx::Error::Encode(error)))
}

/// `[[…], …]`, one inner list a row. Written straight into one text: a batch of a hundred sealed requests is half a
/// megabyte of it, and a tree of values would be built only to be printed.
fn rows(columns: &[Column<'_>]) -> String {
    let length = columns.iter().map(Column::len).max().unwrap_or(0);
    let mut text = String::from("[");
    for at in 0..length {
        text.push_str(if at == 0 { "[" } else { ",[" });
        for (place, column) in columns.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            column.write(at, &mut text);
        }
        text.push(']');
    }
    text.push(']');
    text
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Uuids(values) => values.len(),
            Self::Ints(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    fn write(&self, at: usize, to: &mut String) {
        match self {
            Self::Uuids(values) => write_or_null(values[at], to, |id, to| quoted(id.as_bytes(), to)),
            Self::Ints(values) => write_or_null(values[at], to, |number, to| to.push_str(&number.to_string())),
            Self::Texts(values) => write_or_null(values[at], to, |text, to| {
                to.push_str(&serde_json::to_string(text).expect("a text is JSON"));
            }),
            Self::Bytes(values) => write_or_null(values[at], to, quoted),
        }
    }
}

fn write_or_null<T>(value: Option<T>, to: &mut String, write: impl FnOnce(T, &mut String)) {
    match value {
        Some(value) => write(value, to),
        None => to.push_str("null"),
    }
}

/// The bytes as a JSON text of hexadecimal digits.
fn quoted(bytes: &[u8], to: &mut String) {
    to.reserve(2 * bytes.len() + 2);
    to.push('"');
    to.push_str(&hex(bytes));
    to.push('"');
}

/// Hexadecimal digits, for `unhex`: half of what a batch consists of, so all at once and not digit by digit.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = vec![0; 2 * bytes.len()];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    String::from_utf8(digits).expect("digits are text")
}
