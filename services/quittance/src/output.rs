//! The only place that prints.
//!
//! A command tells each thing once, with its words for a person and its facts for a program; which of the two comes
//! out is decided here. Colour is for terminals alone, and only where `NO_COLOR` is not set; what is read by a program
//! is one JSON object a line. The log goes to standard error and never passes here.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A title.
    Strong,
    /// It holds, it worked.
    Good,
    /// It doesn't.
    Bad,
    /// Not so important.
    Quiet,
}

/// Where a command's words go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    terminal: bool,
}

impl Output {
    /// To standard output.
    #[must_use]
    pub fn new(json: bool) -> Self {
        let terminal = !json && io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, terminal }
    }

    /// Whether a program reads.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person looks at a terminal.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self.terminal
    }

    /// One thing: in words for a person, as facts for a program.
    pub fn tell(self, words: impl Display, facts: &Value) {
        if self.json {
            line(facts);
        } else {
            line(words);
        }
    }

    /// Words that hold no facts of their own.
    pub fn say(self, words: impl Display) {
        if !self.json {
            line(words);
        }
    }

    /// The words in a tone, where colour is shown.
    #[must_use]
    pub fn paint(self, tone: Tone, words: impl Display) -> String {
        let code = match tone {
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Quiet => "2",
        };
        if self.terminal {
            format!("\x1b[{code}m{words}\x1b[0m")
        } else {
            words.to_string()
        }
    }

    /// Rows under headings: a table for a person, an object a row for a program.
    pub fn table(self, headings: &[&str], rows: &[Vec<String>]) {
        if self.json {
            for row in rows {
                let members = headings
                    .iter()
                    .zip(row)
                    .map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str())));
                line(Value::Object(members.collect()));
            }
            return;
        }
        let mut table = Table::new();
        table
            .load_style(UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(headings)
            .add_rows(rows);
        line(table);
    }

    /// Why the command ended badly: to standard error, whoever reads.
    pub fn fail(self, words: impl Display) {
        let painted = if io::stderr().is_terminal() && !self.json {
            format!("\x1b[1;31merror:\x1b[0m {words}")
        } else {
            format!("error: {words}")
        };
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(io::stderr().lock(), "{painted}");
    }
}

/// A reader that went away (`| head`) is no failure of ours.
fn line(words: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{words}");
}
