//! Configuration in layers: what the code says, then a TOML file, then environment variables.
//!
//! `PREFIX__SECTION__KEY` sets `section.key`; `PREFIX__SECTION__KEY_FILE` names a file whose content is the value,
//! which is how secrets come in (so no key of ours ends in `_file`). A variable's text is tried as a string first
//! and then as a TOML value, so that a password of digits stays a password and a port becomes a number.
//! Types say what is known (`deny_unknown_fields`). Whoever gets an error reads one line: what is wrong, where,
//! and how to mend it. Values never appear in it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use crate::secret::Secret;
use crate::shape::{Fault, Misfit};

/// Configuration is written by hand; what is larger is another file.
const FILE_MAX: u64 = 1024 * 1024;

/// A database and how much of it this process takes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://…`, or `sqlite:` and a path.
    pub url: Secret,
    /// Connections that this process holds at most.
    #[serde(default = "DatabaseConfig::connections", deserialize_with = "positive")]
    #[schemars(range(min = 1))]
    pub max_connections: u32,
}

impl DatabaseConfig {
    /// Statements are set-based and short: ten connections are busier than a database of a few cores.
    const fn connections() -> u32 {
        10
    }
}

/// Reads a number of which there must be at least one; for `#[serde(deserialize_with)]`, beside the schema's
/// `#[schemars(range(min = 1))]`.
pub fn positive<'de, D: Deserializer<'de>, N: Deserialize<'de> + Default + PartialEq>(from: D) -> Result<N, D::Error> {
    let number = N::deserialize(from)?;
    if number == N::default() {
        return Err(D::Error::custom("must be at least 1"));
    }
    Ok(number)
}

/// The same where nothing may be said.
pub fn positive_if_said<'de, D, N>(from: D) -> Result<Option<N>, D::Error>
where
    D: Deserializer<'de>,
    N: Deserialize<'de> + Default + PartialEq,
{
    positive(from).map(Some)
}

/// Why there is no configuration. Each text is one line that says what, where and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or can't be read.
    #[error("the configuration file {0} can't be read ({1}); correct its path or its permissions")]
    File(PathBuf, io::Error),
    /// The file is not TOML.
    #[error("the configuration file {file} is not TOML at line {line}, column {column}: {fault}; correct it there")]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// The parser's words.
        fault: String,
    },
    /// An environment variable can't be used.
    #[error("the environment variable {name} {fault}")]
    Variable {
        /// Its whole name.
        name: String,
        /// What is wrong and how to mend it.
        fault: String,
    },
    /// A key is wrong.
    #[error("`{key}` {place} {detail}; {mend}")]
    Key {
        /// Sections and key, with dots.
        key: String,
        /// Where it was set.
        place: String,
        /// What is wrong with it.
        detail: String,
        /// What to do.
        mend: String,
    },
    /// A required key is not set anywhere.
    #[error("`{key}` is missing; set it in {file} or as the environment variable {variable}")]
    Missing {
        /// Sections and key, with dots.
        key: String,
        /// The file that was read, or words for having none.
        file: String,
        /// The variable that would set it.
        variable: String,
    },
}

/// Reads the file, if one is given, and this process's environment variables that begin with `prefix` and `__`.
pub fn load<T: DeserializeOwned>(file: Option<&Path>, prefix: &str) -> Result<T, ConfigError> {
    // A name or value that is not Unicode can't be one of ours.
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    load_from(file, prefix, std::env::vars_os().filter_map(text))
}

/// The same with variables that the caller brings.
pub fn load_from<T: DeserializeOwned>(
    file: Option<&Path>,
    prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    let sources = Sources {
        prefix,
        file,
        variables: read_variables(prefix, variables)?,
    };
    let mut table = file.map(read_file).transpose()?.unwrap_or_default();
    for variable in sources.variables.values() {
        variable.set(&mut table, Value::String(variable.text.clone()))?;
    }
    sources.fit(table)
}

/// Where values came from, for the one who has to mend them.
struct Sources<'s> {
    prefix: &'s str,
    file: Option<&'s Path>,
    variables: BTreeMap<Vec<String>, Variable>,
}

/// A variable that sets a key.
struct Variable {
    name: String,
    path: Vec<String>,
    text: String,
}

impl Sources<'_> {
    /// Makes a `T` of the table. Where a variable's text doesn't fit as a string, it is tried as a TOML value.
    fn fit<T: DeserializeOwned>(&self, mut table: Table) -> Result<T, ConfigError> {
        let mut texts: Vec<&Variable> = self.variables.values().collect();
        loop {
            let misfit = match serde_path_to_error::deserialize(table.clone()) {
                Ok(config) => return Ok(config),
                Err(error) => Misfit::new(error.path(), error.inner().message()),
            };
            let (below, others) = texts
                .into_iter()
                .partition(|variable: &&Variable| variable.path.starts_with(&misfit.path));
            texts = others;
            if !retype(&below, &mut table)? {
                return Err(self.explain(&misfit));
            }
        }
    }

    fn explain(&self, misfit: &Misfit) -> ConfigError {
        let key = misfit.path.join(".");
        if misfit.fault == Fault::Missing {
            let file = self
                .file
                .map_or_else(|| "a configuration file".to_owned(), |file| file.display().to_string());
            let variable = [&[self.prefix.to_owned()][..], &misfit.path]
                .concat()
                .join("__")
                .to_uppercase();
            return ConfigError::Missing { key, file, variable };
        }
        let mend = match misfit.fault {
            Fault::Unknown(_) => "correct its name or remove it",
            _ => "correct its value",
        };
        ConfigError::Key {
            place: self.place(&misfit.path),
            key,
            detail: misfit.detail(),
            mend: mend.to_owned(),
        }
    }

    fn place(&self, path: &[String]) -> String {
        let by_variable = self
            .variables
            .values()
            .find(|variable| path.starts_with(&variable.path) || variable.path.starts_with(path));
        match (by_variable, self.file) {
            (Some(variable), _) => format!("(environment variable {})", variable.name),
            (None, Some(file)) => format!("in {}", file.display()),
            (None, None) => "in the configuration".to_owned(),
        }
    }
}

/// Puts TOML values where strings stood; false if no text is one.
fn retype(variables: &[&Variable], table: &mut Table) -> Result<bool, ConfigError> {
    let mut any = false;
    for variable in variables {
        let document = format!("value = {}", variable.text);
        if let Some(value) = document
            .parse::<Table>()
            .ok()
            .and_then(|mut document| document.remove("value"))
        {
            variable.set(table, value)?;
            any = true;
        }
    }
    Ok(any)
}

impl Variable {
    /// Reads `section__key` or `section__key_file`, the name without the prefix.
    fn read(name: &str, rest: &str, value: String) -> Result<Self, ConfigError> {
        let fault = |fault: String| ConfigError::Variable {
            name: name.to_owned(),
            fault,
        };
        let mut path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        if path.iter().any(String::is_empty) {
            return Err(fault(
                "has an empty part in its name; write PREFIX__SECTION__KEY".to_owned(),
            ));
        }
        let key = path.last_mut().expect("splitting gives at least one part");
        let text = match key.strip_suffix("_file") {
            None | Some("") => value,
            Some(stem) => {
                *key = stem.to_owned();
                let content = read_limited(Path::new(&value));
                content.map_err(|error| {
                    fault(format!(
                        "names {value}, which can't be read ({error}); correct the path"
                    ))
                })?
            }
        };
        // An editor or `echo` ends a file with a line break that is no part of a secret.
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        let name = name.to_owned();
        Ok(Self { name, path, text })
    }

    /// Sets its key in the table, making the sections on the way.
    fn set(&self, table: &mut Table, value: Value) -> Result<(), ConfigError> {
        let (key, sections) = self.path.split_last().expect("a path has at least one part");
        let mut place = table;
        for section in sections {
            let entry = place
                .entry(section.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            place = entry.as_table_mut().ok_or_else(|| ConfigError::Variable {
                name: self.name.clone(),
                fault: format!("sets a key below `{section}`, which is no section; correct the name"),
            })?;
        }
        place.insert(key.clone(), value);
        Ok(())
    }
}

fn read_variables(
    prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<BTreeMap<Vec<String>, Variable>, ConfigError> {
    let prefix = format!("{prefix}__");
    let mut read: BTreeMap<Vec<String>, Variable> = BTreeMap::new();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(&prefix) else {
            continue;
        };
        let variable = Variable::read(&name, rest, value)?;
        if let Some(other) = read.insert(variable.path.clone(), variable) {
            let fault = format!("sets the same key as {}; remove one of them", other.name);
            return Err(ConfigError::Variable { name, fault });
        }
    }
    Ok(read)
}

fn read_file(file: &Path) -> Result<Table, ConfigError> {
    let text = read_limited(file).map_err(|error| ConfigError::File(file.to_owned(), error))?;
    text.parse().map_err(|error: toml::de::Error| {
        let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
        ConfigError::Syntax {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
            fault: error.message().lines().collect::<Vec<_>>().join(", "),
        }
    })
}

fn read_limited(file: &Path) -> io::Result<String> {
    let length = fs::metadata(file)?.len();
    if length > FILE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    fs::read_to_string(file)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        listen: Listen,
        database: DatabaseConfig,
        #[serde(default)]
        brokers: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Listen {
        on: SocketAddr,
        workers: Option<u16>,
        #[serde(default)]
        quiet: bool,
    }

    const FILE: &str = "[listen]\non = \"127.0.0.1:80\"\n[database]\nurl = \"sqlite:x\"\n";

    fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it.toml");
        fs::write(&file, text).unwrap();
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load_from(Some(&file), "APP", variables).map_err(|error: ConfigError| {
            let line = error.to_string();
            assert!(!line.contains('\n'), "{line}");
            line.replace(&file.display().to_string(), "it.toml")
        })
    }

    #[test]
    fn variables_lie_over_the_file_with_the_types_of_the_keys() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("url");
        fs::write(&secret, "12345\n").unwrap();
        let variables = [
            ("APP__LISTEN__WORKERS", "3"),
            ("APP__LISTEN__QUIET", "true"),
            ("APP__BROKERS", "[\"a:1\", \"b:2\"]"),
            ("APP__DATABASE__URL_FILE", secret.to_str().unwrap()),
            ("APPLE__X", "ignored"),
        ];
        let config = load_text(FILE, &variables).unwrap();
        assert_eq!(config.listen.on.port(), 80);
        assert_eq!((config.listen.workers, config.listen.quiet), (Some(3), true));
        assert_eq!(config.brokers, ["a:1", "b:2"]);
        assert_eq!(config.database.url.expose(), "12345", "digits stay a secret");
        assert_eq!(config.database.max_connections, 10);
    }

    #[test]
    fn each_failure_says_what_where_and_how_to_mend_it() {
        let check = |text: &str, variables: &[(&str, &str)], wanted: &str| {
            assert_eq!(load_text(text, variables).unwrap_err(), wanted);
        };
        check(
            &format!("{FILE}max_connections = 0\n"),
            &[],
            "`database.max_connections` in it.toml must be at least 1; correct its value",
        );
        check(
            &format!("{FILE}port = 1\n"),
            &[],
            "`database.port` in it.toml is not known here; expected `url` or `max_connections`; correct its name or remove it",
        );
        check(
            &FILE.replace("\"127.0.0.1:80\"", "7"),
            &[],
            "`listen.on` in it.toml must be socket address; correct its value",
        );
        check(
            "[listen]\non = \"127.0.0.1:80\"\n[database]\n",
            &[],
            "`database.url` is missing; set it in it.toml or as the environment variable APP__DATABASE__URL",
        );
        check(
            "[listen]\non = = 1",
            &[],
            "the configuration file it.toml is not TOML at line 2, column 6: extra `=`, expected nothing; correct it there",
        );
        check(
            FILE,
            &[("APP__LISTEN__WORKERS", "s3cret")],
            "`listen.workers` (environment variable APP__LISTEN__WORKERS) must be u16; correct its value",
        );
        check(
            FILE,
            &[("APP__LISTEN__WORKER", "3")],
            "`listen.worker` (environment variable APP__LISTEN__WORKER) is not known here; expected one of `on`, `workers`, `quiet`; correct its name or remove it",
        );
        check(
            FILE,
            &[("APP__LISTEN____ON", "3")],
            "the environment variable APP__LISTEN____ON has an empty part in its name; write PREFIX__SECTION__KEY",
        );
        check(
            FILE,
            &[("APP__DATABASE__URL__X", "3")],
            "the environment variable APP__DATABASE__URL__X sets a key below `url`, which is no section; correct the name",
        );
        check(
            FILE,
            &[("APP__DATABASE__URL_FILE", "/nowhere/url")],
            "the environment variable APP__DATABASE__URL_FILE names /nowhere/url, which can't be read (No such file or directory (os error 2)); correct the path",
        );
    }

    #[test]
    fn a_file_that_is_not_there_and_a_key_set_twice_are_refused() {
        let load = |file: &str| {
            load_from::<Config>(Some(Path::new(file)), "APP", [])
                .unwrap_err()
                .to_string()
        };
        assert!(load("/nowhere/it.toml").starts_with("the configuration file /nowhere/it.toml can't be read"));

        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("url");
        fs::write(&secret, "x").unwrap();
        let twice = [
            ("APP__DATABASE__URL", "x"),
            ("APP__DATABASE__URL_FILE", secret.to_str().unwrap()),
        ];
        let line = load_text(FILE, &twice).unwrap_err();
        assert!(line.contains("sets the same key as APP__DATABASE__URL"), "{line}");
    }
}
