//! How a command ends when it doesn't end well: one line that says what, where and how to mend it, and an exit code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use platform::bus::BusError;
use platform::config::ConfigError;
use platform::db::{DbError, SchemaError};
use platform::keyring::KeyringError;
use platform::problem::chain;
use registry::apply::RegistryError;
use registry::file::FileError;

use crate::verify::claims::Unusable;
use crate::verify::files::FilesError;

/// What a script learns from the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was checked and does not hold, or the work failed.
    No,
    /// The command line, the configuration or a file is wrong.
    Usage,
    /// Something that is needed does not answer.
    Unreachable,
}

/// Why a command did not end well.
#[derive(Debug)]
pub struct Failure {
    /// What a script learns.
    pub exit: Exit,
    /// What a person reads.
    pub line: String,
}

impl Failure {
    /// It was checked and does not hold.
    pub fn no(line: impl fmt::Display) -> Self {
        Self::new(Exit::No, line)
    }

    /// The caller can mend it.
    pub fn usage(line: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, line)
    }

    /// It may work later.
    pub fn unreachable(line: impl fmt::Display) -> Self {
        Self::new(Exit::Unreachable, line)
    }

    fn new(exit: Exit, line: impl fmt::Display) -> Self {
        let line = line.to_string();
        Self { exit, line }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl Error for Failure {}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
        })
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<KeyringError> for Failure {
    fn from(error: KeyringError) -> Self {
        Self::usage(error)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::usage(error)
    }
}

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Self {
        Self::usage(error)
    }
}

impl From<Unusable> for Failure {
    fn from(error: Unusable) -> Self {
        Self::usage(error)
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::unreachable(chain(&error))
    }
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Database(_) => Self::unreachable(chain(&error)),
            _ => Self::usage(chain(&error)),
        }
    }
}

impl From<BusError> for Failure {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Config(_) => Self::usage(chain(&error)),
            _ => Self::unreachable(chain(&error)),
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        match error {
            // Every mistake has a line of its own.
            RegistryError::Faults(_) => Self::usage(error),
            RegistryError::Word(_)
            | RegistryError::Keyring(_)
            | RegistryError::Unopened(_)
            | RegistryError::NoSuch(_)
            | RegistryError::Unsigned(_) => Self::usage(chain(&error)),
            RegistryError::Database(_) => Self::unreachable(chain(&error)),
            RegistryError::Stale
            | RegistryError::InFlight
            | RegistryError::NotLogged(_)
            | RegistryError::StillOverlapping(_) => Self::no(chain(&error)),
        }
    }
}
