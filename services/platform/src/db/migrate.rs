//! The schema's history, and the refusal to run on another one.

use sqlx::migrate::{MigrateError, Migrator};

use super::{Args, Db, DbError, Statement};

/// The same history in the words of each engine; version numbers are the same on both.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// For PostgreSQL.
    pub pg: &'static Migrator,
    /// For SQLite.
    pub lite: &'static Migrator,
}

/// Why a program and a database don't fit.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The history could not be applied, or the database knows a step that this program doesn't.
    #[error("the database's schema can't be brought up to date by this version")]
    Migrate(#[from] MigrateError),
    /// Steps are missing.
    #[error("the database's schema is at version {found} and this program needs {needed}: run `quittance migrate`")]
    Behind {
        /// The newest applied version; 0 on an empty database.
        found: i64,
        /// The newest version that this program brings.
        needed: i64,
    },
    /// The database is newer than the program.
    #[error("the database's schema is at version {found}, newer than this program's {needed}: run a newer version")]
    Ahead {
        /// The newest applied version.
        found: i64,
        /// The newest version that this program brings.
        needed: i64,
    },
    /// The database did not answer.
    #[error("the database's schema could not be read")]
    Database(#[from] DbError),
}

const VERSION: Statement = Statement::both(
    "schema_version",
    "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations WHERE success",
);

impl Db {
    /// Applies the missing steps; safe to run twice, and from two processes at once.
    pub async fn migrate(&self, migrations: &Migrations) -> Result<(), SchemaError> {
        match self {
            Self::Pg(pool) => migrations.pg.run(pool).await?,
            Self::Lite(_) => self.migrate_file(migrations.lite).await?,
        }
        Ok(())
    }

    /// A file has no lock for the whole history, so another process may take a step between our look and our step:
    /// ours is undone then, and we look again. That happens once a step at the most.
    async fn migrate_file(&self, history: &Migrator) -> Result<(), MigrateError> {
        let Self::Lite(lite) = self else { return Ok(()) };
        let mut tries = history.iter().count();
        loop {
            match history.run(&lite.write).await {
                Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..)) if tries > 0 => tries -= 1,
                outcome => return outcome,
            }
        }
    }

    /// Refuses a database whose history is not exactly this program's.
    pub async fn check_schema(&self, migrations: &Migrations) -> Result<(), SchemaError> {
        let needed = migrations.pg.iter().map(|step| step.version).max().unwrap_or(0);
        let found = self.schema_version().await?;
        match found.cmp(&needed) {
            std::cmp::Ordering::Less => Err(SchemaError::Behind { found, needed }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(SchemaError::Ahead { found, needed }),
        }
    }

    async fn schema_version(&self) -> Result<i64, DbError> {
        match self.fetch_optional(&VERSION, Args::new()).await {
            Ok(row) => row.map_or(Ok(0), |row| row.get(0)),
            // A database without the history's table is an empty one.
            Err(DbError::Driver(sqlx::Error::Database(_))) => Ok(0),
            Err(error) => Err(error),
        }
    }
}
