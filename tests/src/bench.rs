//! Measuring, never judging.
//!
//! The router runs as its users run it, in processes of its own; the load and the client businesses are in this
//! process (`field`), on the same machine. Beside what the router does stands the floor (`floor`): the same
//! client, body and signature against a receiver that does nothing, in the same run, so that a throughput can be told
//! from the speed of the machine. A figure is measured a few times; its runs are all kept (`report`).
//!
//! Counts are fixed and every wait has an end, so that a run takes minutes whatever the router does.

mod alone;
mod delivery;
mod field;
mod flights;
mod floor;
mod hostile;
mod journeys;
mod machine;
mod pace;
mod receiver;
mod report;
mod seed;

use std::fmt;
use std::path::PathBuf;

use crate::parts::{kafka, postgres};
pub use hostile::{ARGUMENT as RECEIVE, receive};
use report::Report;

/// Enough to see a spread, few enough to wait for.
const REPEATS: usize = 3;

/// What is measured, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Parts of figures' names; all if there are none.
    names: Vec<String>,
    /// Where the figures are written.
    json: Option<PathBuf>,
    /// How often each is measured.
    repeats: usize,
    /// With a tenth of the requests.
    quick: bool,
}

impl Options {
    /// Reads the command's arguments; `None` asks for help.
    ///
    /// # Errors
    /// Says which argument is wrong.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            names: vec![],
            json: None,
            repeats: REPEATS,
            quick: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--quick" => options.quick = true,
                "--json" => options.json = Some(arguments.next().ok_or("--json needs a file")?.into()),
                "--repeats" => options.repeats = repeats(&arguments.next().unwrap_or_default())?,
                option if option.starts_with('-') => return Err(format!("unknown: {option}")),
                name => options.names.push(name.to_owned()),
            }
        }
        Ok(Some(options))
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| name.contains(part.as_str()))
    }

    /// So many requests in a run.
    fn count(&self, whole: usize) -> usize {
        if self.quick { whole / 10 } else { whole }
    }
}

fn repeats(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("--repeats needs a number from 1".to_owned()),
    }
}

/// Why something was not measured.
#[derive(Debug)]
pub struct NotMeasured(String);

impl fmt::Display for NotMeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for NotMeasured {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Which deployment is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deployment {
    /// `quittance up`: SQLite, no Kafka.
    Embedded,
    /// Three processes on PostgreSQL and Kafka.
    Cluster,
}

impl Deployment {
    const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Cluster => "cluster",
        }
    }
}

/// Measures, prints the table, and writes the file.
///
/// # Errors
/// When something that is measured doesn't work.
pub async fn run(options: Options) -> Result<(), NotMeasured> {
    let mut report = Report::new(options);
    floor::measure(&mut report).await?;
    alone::measure(&mut report).await?;
    for deployment in [Deployment::Embedded, Deployment::Cluster] {
        if deployment == Deployment::Embedded || there_are_parts() {
            journeys::measure(&mut report, deployment).await?;
            delivery::measure(&mut report, deployment).await?;
        }
    }
    report.finish()?;
    Ok(())
}

fn there_are_parts() -> bool {
    [kafka::VARIABLE, postgres::VARIABLE]
        .iter()
        .all(|variable| std::env::var_os(variable).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Options>, String> {
        Options::parse(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn figures_are_chosen_by_parts_of_their_names() {
        let options = parse(&["accept", "--repeats", "5", "binary", "--json", "out.json"]).unwrap();
        let options = options.unwrap();
        assert!(options.wants("accept.per_second.rest.embedded") && options.wants("binary.size_mb"));
        assert!(!options.wants("journey.end_to_end.embedded"));
        assert_eq!((options.repeats, options.json), (5, Some("out.json".into())));
        assert!(parse(&[]).unwrap().unwrap().wants("anything"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [&["--fast"][..], &["--repeats", "0"], &["--repeats"], &["--json"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(parse(&["accept", "--help"]), Ok(None));
    }
}
