//! The words that make a request, as configuration, and as the tables that a message is read with.
//!
//! A file lists, per language, what people say and the words around it; `{a|b|}` stands for one of its parts. When
//! it is parsed, every alternative is written out once and filed under its first word, so reading a message looks up
//! each of its words in one table.

use std::collections::{HashMap, HashSet};

use domain::right::Right;
use serde::Deserialize;

use super::normal::{folded, normal_form};

/// The longest command, with a bot's name of 32 characters behind it, and room.
const MAX_COMMAND: usize = 100;

/// One line of the file that says everything in every way is a slip of the pen.
const MAX_ALTERNATIVES: usize = 2_000;

/// What all lines together may come to; the embedded file uses a quarter of it.
const MAX_ENTRIES: usize = 40_000;

/// Why a phrase book was refused.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// Not TOML, or not of this shape.
    #[error("the phrase book does not parse")]
    Shape(#[from] toml::de::Error),
    /// A brace that is not closed, or one within another.
    #[error("in `{0}`, a brace is open, nested or too many")]
    Braces(String),
    /// Nothing is left of a phrase in the normal form.
    #[error("`{0}` holds no word")]
    Empty(String),
    /// Too much to read every message with.
    #[error("`{0}` stands for more than {MAX_ALTERNATIVES} phrases, or all together for more than {MAX_ENTRIES}")]
    TooMany(String),
    /// A phrase in a language that has no `[[language]]`.
    #[error("phrase `{0}` is in a language without a table")]
    Language(String),
    /// The same id twice.
    #[error("two phrases have the id `{0}`")]
    Id(String),
}

/// A whole file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "language")]
    languages: Vec<Language>,
    #[serde(rename = "phrase")]
    phrases: Vec<Phrase>,
    #[serde(rename = "command", default)]
    commands: Vec<Command>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Language {
    code: String,
    courtesies: Vec<String>,
    joints: Vec<String>,
    fillers: Vec<String>,
    lead_ins: Vec<String>,
    modals: Vec<String>,
    followers: Vec<String>,
    dangling: Vec<String>,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    not_and: Vec<String>,
    guards: Guards,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Guards {
    negations: Vec<String>,
    questions: Vec<String>,
    conditions: Vec<String>,
    reports: Vec<String>,
    cancellations: Vec<String>,
}

/// One way, or several, to ask for one thing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Phrase {
    pub(super) id: String,
    pub(super) language: String,
    pub(super) right: Right,
    said: Vec<String>,
    /// Nothing by itself: only after a word that asks for it.
    #[serde(default)]
    pub(super) needs_lead_in: bool,
    /// Asks by its nature, so a question mark changes nothing.
    #[serde(default)]
    pub(super) question: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    id: String,
    right: Right,
    said: Vec<String>,
}

/// What a sequence of words does in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Opens a request anywhere, and makes a question one.
    Courtesy,
    /// “and”.
    Joint,
    /// Says nothing.
    Filler,
    /// Says that what follows is wanted.
    LeadIn,
    /// Asks whether it can be done: a lead-in beside a courtesy.
    Modal,
    /// May follow a request.
    Follower,
    /// Takes back what was said before it.
    Cancellation,
    /// The request itself, by its place in [`Book::phrases`].
    Request(usize),
}

/// What a single word does to the requests around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    Negation,
    Question,
    /// A condition, or somebody else's words.
    Doubt,
    /// After it, a pause ends nothing.
    Dangling,
}

/// What may begin with the words on the way to here: a tree, so that reading a word costs one look-up however much the
/// book holds.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) next: HashMap<String, Node>,
    pub(super) roles: Vec<Role>,
}

/// A phrase book, ready to read with.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) phrases: Vec<Phrase>,
    pub(super) root: Node,
    guards: HashMap<String, Vec<Guard>>,
    /// Written onto the next word: the Arabic “and”.
    prefixes: Vec<String>,
    /// Words that begin with a prefix and are no “and”.
    not_and: HashSet<String>,
    commands: HashMap<String, (String, Right)>,
    entries: usize,
}

impl Book {
    pub(super) fn parse(text: &str) -> Result<Self, BookError> {
        let file: File = toml::from_str(text)?;
        let mut book = Self::default();
        let codes: HashSet<_> = file.languages.iter().map(|language| language.code.clone()).collect();
        file.languages
            .iter()
            .try_for_each(|language| book.add_language(language))?;
        for phrase in file.phrases {
            if !codes.contains(&phrase.language) {
                return Err(BookError::Language(phrase.id));
            }
            book.add_phrase(phrase)?;
        }
        file.commands
            .into_iter()
            .try_for_each(|command| book.add_command(&command))?;
        Ok(book)
    }

    /// The command that a message consists of, with the bot's name behind it or not.
    pub(super) fn command(&self, message: &str) -> Option<(&str, Right)> {
        let message: String = folded(message.trim()).take(MAX_COMMAND).collect();
        let name = message.split('@').next()?.trim();
        self.commands.get(name).map(|(id, right)| (id.as_str(), *right))
    }

    /// What a word guards against, by itself or with an “and” written onto it.
    pub(super) fn guards_of(&self, word: &str) -> Vec<Guard> {
        let bare = self
            .prefixes
            .iter()
            .filter_map(|prefix| word.strip_prefix(prefix.as_str()));
        let known = std::iter::once(word)
            .chain(bare)
            .filter_map(|word| self.guards.get(word));
        known.flatten().copied().collect()
    }

    /// A word without the “and” that is written onto it.
    pub(super) fn without_and<'w>(&self, word: &'w str) -> Option<&'w str> {
        let rest = |prefix: &String| word.strip_prefix(prefix.as_str()).filter(|rest| !rest.is_empty());
        self.prefixes
            .iter()
            .find_map(rest)
            .filter(|_| !self.not_and.contains(word))
    }

    fn add_language(&mut self, language: &Language) -> Result<(), BookError> {
        for (role, said) in [
            (Role::Courtesy, &language.courtesies),
            (Role::Joint, &language.joints),
            (Role::Filler, &language.fillers),
            (Role::LeadIn, &language.lead_ins),
            (Role::Modal, &language.modals),
            (Role::Follower, &language.followers),
            (Role::Cancellation, &language.guards.cancellations),
        ] {
            self.add_entries(role, said)?;
        }
        for (guard, words) in [
            (Guard::Negation, &language.guards.negations),
            (Guard::Question, &language.guards.questions),
            (Guard::Doubt, &language.guards.conditions),
            (Guard::Doubt, &language.guards.reports),
            (Guard::Dangling, &language.dangling),
        ] {
            for word in words {
                self.guards.entry(normal_form(word)).or_default().push(guard);
            }
        }
        self.prefixes
            .extend(language.prefixes.iter().map(|prefix| normal_form(prefix)));
        self.not_and
            .extend(language.not_and.iter().map(|word| normal_form(word)));
        Ok(())
    }

    fn add_phrase(&mut self, phrase: Phrase) -> Result<(), BookError> {
        if self.phrases.iter().any(|known| known.id == phrase.id) {
            return Err(BookError::Id(phrase.id));
        }
        self.add_entries(Role::Request(self.phrases.len()), &phrase.said)?;
        self.phrases.push(phrase);
        Ok(())
    }

    fn add_command(&mut self, command: &Command) -> Result<(), BookError> {
        for said in &command.said {
            let name: String = folded(said).collect();
            if self
                .commands
                .insert(name, (command.id.clone(), command.right))
                .is_some()
            {
                return Err(BookError::Id(command.id.clone()));
            }
        }
        Ok(())
    }

    fn add_entries(&mut self, role: Role, said: &[String]) -> Result<(), BookError> {
        for pattern in said {
            for alternative in alternatives(pattern)? {
                let words = normal_form(&alternative);
                self.root
                    .add(&words, role)
                    .ok_or_else(|| BookError::Empty(pattern.clone()))?;
                self.entries += 1;
            }
        }
        if self.entries > MAX_ENTRIES {
            Err(BookError::TooMany(said.join(", ")))
        } else {
            Ok(())
        }
    }
}

impl Node {
    /// Files a role under a text's words; `None` if it has none.
    fn add(&mut self, words: &str, role: Role) -> Option<()> {
        let mut node = self;
        for word in words.split_whitespace() {
            node = node.next.entry(word.to_owned()).or_default();
        }
        node.roles.push(role);
        (!words.is_empty()).then_some(())
    }
}

/// Every way to read a pattern: `{a|b} c` is `a c` and `b c`.
fn alternatives(pattern: &str) -> Result<Vec<String>, BookError> {
    let braces = || BookError::Braces(pattern.to_owned());
    let mut ways = vec![String::new()];
    let mut rest = pattern;
    while let Some((plain, after)) = rest.split_once('{') {
        let (parts, after) = after.split_once('}').ok_or_else(braces)?;
        if parts.contains('{') || plain.contains('}') {
            return Err(braces());
        }
        ways = parts
            .split('|')
            .flat_map(|part| ways.iter().map(move |way| format!("{way}{plain}{part}")))
            .collect();
        if ways.len() > MAX_ALTERNATIVES {
            return Err(BookError::TooMany(pattern.to_owned()));
        }
        rest = after;
    }
    if rest.contains('}') {
        Err(braces())
    } else {
        Ok(ways.into_iter().map(|way| way + rest).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_every_alternative_out() {
        let written = |pattern| alternatives(pattern).unwrap();
        assert_eq!(written("{delete|erase} my {|personal }data").len(), 4);
        assert!(written("{delete|erase} my {|personal }data").contains(&"erase my personal data".to_owned()));
        assert_eq!(written("plain"), ["plain"]);
        for broken in ["{a", "a}", "{a{b}}", "{a}}"] {
            assert!(matches!(alternatives(broken), Err(BookError::Braces(_))), "{broken}");
        }
        assert!(matches!(alternatives(&"{a|b}".repeat(11)), Err(BookError::TooMany(_))));
    }

    #[test]
    fn refuses_a_book_that_contradicts_itself() {
        let embedded = include_str!("../../phrases/default.toml");
        let refused = |from: &str, to: &str| {
            let changed = embedded.replacen(from, to, 1);
            assert_ne!(changed, embedded, "{from}");
            Book::parse(&changed).unwrap_err()
        };
        assert!(matches!(
            refused("id = \"en.restrict\"", "id = \"en.correct_my_data\""),
            BookError::Id(_)
        ));
        assert!(matches!(
            refused("\"/my_data\"", "\"/delete_my_data\""),
            BookError::Id(_)
        ));
        assert!(matches!(
            refused("language = \"ar\"", "language = \"fr\""),
            BookError::Language(_)
        ));
        assert!(matches!(refused("\"please\"", "\"!\""), BookError::Empty(_)));
        assert!(matches!(refused("needs_lead_in", "needs"), BookError::Shape(_)));
        assert!(matches!(
            refused("right = \"access\"", "right = \"acces\""),
            BookError::Shape(_)
        ));
    }
}
