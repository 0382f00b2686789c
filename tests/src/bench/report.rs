//! What was measured: a table for people, JSON for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::LazyLock;

use serde::Serialize;
use serde_json::{Value, json};

use super::Options;

/// The figure that throughputs are compared with.
const FLOOR: &str = "floor.deliveries_per_second";

/// What one figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Throughput; has a ratio to the floor, which is one too.
    PerSecond,
    /// Throughput of one core, which no network is part of.
    PerSecondCore,
    /// Of all processes of the router.
    CpuSeconds,
    /// 1,000,000 bytes.
    Megabytes,
    /// Of SQL, for each delivery.
    Statements,
    /// Of waiting.
    Milliseconds,
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PerSecond => "1/s",
            Self::PerSecondCore => "1/s per core",
            Self::CpuSeconds => "s",
            Self::Megabytes => "MB",
            Self::Statements => "each",
            Self::Milliseconds => "ms",
        }
    }
}

/// One figure, as it is written.
#[derive(Debug, Clone, Serialize)]
struct Figure {
    name: String,
    unit: &'static str,
    runs: Vec<f64>,
    median: f64,
    floor: Option<f64>,
    ratio: Option<f64>,
    settings: Value,
}

/// Everything that was measured so far.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) options: Options,
    figures: Vec<Figure>,
}

impl Report {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            figures: vec![],
        }
    }

    /// Whether a figure is asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.options.wants(name)
    }

    /// Keeps a figure, and says so at once: a whole run takes minutes.
    pub(super) fn add(&mut self, name: &str, unit: Unit, runs: Vec<f64>, settings: Value) {
        let median = median(&runs);
        let floor = (unit == Unit::PerSecond).then(|| self.floor().unwrap_or(median));
        let figure = Figure {
            name: name.to_owned(),
            unit: unit.as_str(),
            runs,
            median,
            floor,
            ratio: floor.map(|floor| median / floor),
            settings,
        };
        let _ = writeln!(io::stderr(), "{name}: {} {}", number(median), figure.unit);
        self.figures.push(figure);
    }

    /// The same, if it is asked for.
    pub(super) fn add_wanted(&mut self, name: &str, unit: Unit, runs: Vec<f64>, settings: Value) {
        if self.wants(name) {
            self.add(name, unit, runs, settings);
        }
    }

    fn floor(&self) -> Option<f64> {
        let floor = self.figures.iter().find(|figure| figure.name == FLOOR);
        floor.map(|figure| figure.median)
    }

    /// Prints the table and writes the file that was asked for.
    pub(super) fn finish(self) -> io::Result<()> {
        io::stdout().write_all(self.table().as_bytes())?;
        if let Some(file) = &self.options.json {
            let text = serde_json::to_string_pretty(&self.figures)?;
            std::fs::write(file, text + "\n")?;
        }
        Ok(())
    }

    fn table(&self) -> String {
        let widest = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        let mut table = format!(
            "\n{:widest$}  {:>10}  {:>10}  {:>10}  {:<12}  {:>8}\n",
            "figure", "minimum", "median", "maximum", "unit", "to floor"
        );
        for figure in &self.figures {
            let [least, most] = [f64::min, f64::max].map(|pick| figure.runs.iter().copied().reduce(pick));
            let [least, median, most] = [least.unwrap_or(0.0), figure.median, most.unwrap_or(0.0)].map(number);
            let ratio = figure.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let _ = writeln!(
                table,
                "{:widest$}  {least:>10}  {median:>10}  {most:>10}  {:<12}  {ratio:>8}",
                figure.name, figure.unit
            );
        }
        table
    }
}

/// What every figure depends on. `load` is the number of others who wanted a core when the measuring began: on a
/// machine with other work figures are low, and their ratios say more.
fn machine() -> Value {
    static LOAD: LazyLock<Option<f64>> = LazyLock::new(load);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({"cores": cores, "load": *LOAD, "profile": if cfg!(debug_assertions) { "debug" } else { "release" }})
}

/// Linux's average over the last minute.
fn load() -> Option<f64> {
    let averages = std::fs::read_to_string("/proc/loadavg").ok()?;
    averages.split(' ').next()?.parse().ok()
}

/// The machine's settings and a figure's own.
pub(super) fn settings(own: Value) -> Value {
    let (mut all, Value::Object(own)) = (machine(), own) else {
        return machine();
    };
    if let Some(members) = all.as_object_mut() {
        members.extend(own);
    }
    all
}

/// Of an even number of runs, the mean of the two in the middle.
fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

/// As many digits as mean something.
fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value < 1.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let options = Options::parse([]).unwrap().unwrap();
        Report::new(options)
    }

    #[test]
    fn a_median_lies_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn throughputs_are_compared_with_the_floor_and_nothing_else_is() {
        let mut report = report();
        report.add(FLOOR, Unit::PerSecond, vec![1_000.0], json!({}));
        report.add("a.b", Unit::PerSecond, vec![400.0, 100.0, 250.0], json!({}));
        report.add("binary.size_mb", Unit::Megabytes, vec![30.0], json!({}));
        let written = serde_json::to_value(&report.figures).unwrap();
        assert_eq!(written[1]["ratio"], 0.25);
        assert_eq!(written[1]["floor"], 1_000.0);
        assert_eq!(written[2]["ratio"], Value::Null);
        let table = report.table();
        let line = table.lines().find(|line| line.starts_with("a.b")).unwrap();
        let columns: Vec<_> = line.split_whitespace().collect();
        assert_eq!(columns, ["a.b", "100", "250", "400", "1/s", "0.25"]);
    }

    #[test]
    fn settings_say_what_they_were_measured_on() {
        let all = settings(json!({"requests": 10}));
        assert_eq!(all["requests"], 10);
        assert!(all["cores"].is_number() && all["profile"].is_string());
    }
}
