//! The only place that prints.
//!
//! A command tells each thing once, with its words for a person and its facts for a program; which of the two comes
//! out is decided here. Colour is for terminals alone, and only where `NO_COLOR` is not set; what is read by a program
//! is one JSON object a line. The log goes to standard error and never passes here.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};
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
        self.grouped_table(headings, rows, 0);
    }

    /// The same; for a person, rows that begin like the row above leave so many first columns blank.
    pub fn grouped_table(self, headings: &[&str], rows: &[Vec<String>], first_columns: usize) {
        if self.json {
            for row in rows {
                let members = headings
                    .iter()
                    .zip(row)
                    .map(|(key, value)| (key.replace(' ', "_"), Value::from(value.as_str())));
                line(Value::Object(members.collect()));
            }
            return;
        }
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(headings);
        for (place, row) in rows.iter().enumerate() {
            let above = place.checked_sub(1).map(|above| &rows[above]);
            let same = above.is_some_and(|above| above[..first_columns] == row[..first_columns]);
            let blank = if same { first_columns } else { 0 };
            table.add_row((0..row.len()).map(|column| if column < blank { "" } else { &row[column] }));
        }
        line(table);
    }

    /// A bar for work of so many steps; it shows on a terminal alone.
    #[must_use]
    pub fn progress(self, steps: u64, what: &'static str) -> Progress {
        let bar = if self.terminal {
            ProgressBar::new(steps)
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
        bar.set_style(style.expect("the template has known keys only"));
        bar.set_message(what);
        Progress(bar)
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

/// How far work has come.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// So many steps are done.
    pub fn reach(&self, steps: u64) {
        self.0.set_position(steps);
    }

    /// Prints beside the bar.
    pub fn aside(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// A path as a shell takes it for one word.
#[must_use]
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=:,@%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A reader that went away (`| head`) is no failure of ours.
fn line(words: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{words}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_a_path_for_one_word() {
        for (path, word) in [
            ("/tmp/a-b/1.json", "/tmp/a-b/1.json"),
            ("./a b", "'./a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME;x", "'$HOME;x'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
