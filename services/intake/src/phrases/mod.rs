//! From a chat text to the right that it asks for, if it asks for one.
//!
//! A chat text is an untrusted hint, and a request that nobody made destroys somebody's data: so only an explicit
//! request counts, and a message in doubt is left to a person. A message is read in the normal form ([`normal`]),
//! sentence by sentence (`text`), against the words of a phrase book (`book`), which are configuration; what
//! makes a phrase a request is decided in one place (`reading`). Commands such as `/delete_my_data` are requests
//! when they are the whole message.

pub mod normal;

mod book;
mod reading;
mod text;

use domain::right::Right;

use book::Book;
pub use book::BookError;
use reading::Reading;

/// The language of a command: undetermined (BCP 47).
const UNDETERMINED: &str = "und";

/// What people say when they exercise a right, in which languages.
#[derive(Debug)]
pub struct PhraseBook(Book);

/// A request that a message makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match<'b> {
    /// What is asked for.
    pub right: Right,
    /// Which phrase or command of the book said so.
    pub phrase_id: &'b str,
    /// The phrase's language (BCP 47), `und` for a command.
    pub language: &'b str,
}

impl PhraseBook {
    /// Reads a phrase book, of the shape of `phrases/default.toml`.
    pub fn parse(text: &str) -> Result<Self, BookError> {
        Book::parse(text).map(Self)
    }

    /// The request that a message makes; the first of [`PhraseBook::rights_of`].
    #[must_use]
    pub fn right_of(&self, text: &str) -> Option<Match<'_>> {
        self.rights_of(text).into_iter().next()
    }

    /// Every right that a message explicitly exercises, once each, in its order; but a deletion comes last, because
    /// it would destroy what the others ask for.
    #[must_use]
    pub fn rights_of(&self, text: &str) -> Vec<Match<'_>> {
        if let Some((phrase_id, right)) = self.0.command(text) {
            return vec![Match {
                right,
                phrase_id,
                language: UNDETERMINED,
            }];
        }
        let mut matches = self.standing(text);
        matches.sort_by_key(|found| found.right == Right::Deletion);
        matches
    }

    /// The requests that no later sentence takes back, once for each right.
    fn standing(&self, text: &str) -> Vec<Match<'_>> {
        let sentences = text::sentences(text);
        let readings: Vec<_> = sentences
            .iter()
            .map(|sentence| Reading::new(&self.0, sentence))
            .collect();
        let last = readings.iter().rposition(Reading::cancels).unwrap_or(0);
        let mut matches: Vec<Match> = vec![];
        for phrase in readings[last.min(readings.len())..].iter().flat_map(Reading::requests) {
            if matches.iter().all(|known| known.right != phrase.right) {
                matches.push(Match {
                    right: phrase.right,
                    phrase_id: &phrase.id,
                    language: &phrase.language,
                });
            }
        }
        matches
    }
}

impl Default for PhraseBook {
    /// The embedded phrase book: English, and Arabic as it is written and spoken.
    fn default() -> Self {
        Self::parse(include_str!("../../phrases/default.toml"))
            .expect("the embedded phrase book parses: a test reads it")
    }
}

#[cfg(test)]
mod tests;
