//! One sentence, read for explicit requests.
//!
//! A phrase counts only where it is opened: at the beginning of a clause, or after words that ask for it (“please”,
//! “بدي”), which must themselves be opened. So “how do I delete my data” and “you promised to delete my data” fall
//! through without a rule of their own. It must also end where a request can end (“delete my data plan” doesn't), and
//! nothing around it may deny, ask, suppose or report it. Guards look at words that are not themselves part of a
//! courtesy, a lead-in or a request. Whatever is in doubt is no request: a person can read it.

use super::book::{Book, Guard, Node, Phrase, Role};
use super::text::{Sentence, Word};

/// How far the words before a place have got towards a request; later is further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Opening {
    /// In the middle of something else.
    Shut,
    /// After an “and” in the middle of something else: a lead-in may begin.
    Joint,
    /// At the beginning of a clause.
    Open,
    /// After a word that asks.
    Led,
}

/// Something of the book's that stands in a sentence.
#[derive(Debug, Clone, Copy)]
struct Standing {
    role: Role,
    end: usize,
    /// Whether an “and” is written onto its first word.
    joined: bool,
}

/// What was found out about a sentence before its requests are looked for.
pub(super) struct Reading<'b, 's> {
    book: &'b Book,
    words: &'s [Word],
    /// Per word: what the book has that begins with it.
    standing: Vec<Vec<Standing>>,
    /// Per word: what it guards against.
    guards: Vec<Vec<Guard>>,
    question: bool,
    /// Whether a courtesy stands anywhere in it.
    polite: bool,
    /// Per word: whether a clause begins with it.
    first: Vec<bool>,
    /// Per word, and for the end.
    openings: Vec<Opening>,
    /// Per word, and for the end: where a courtesy begins that ends right before it.
    courtesy: Vec<Option<usize>>,
    /// Per word: whether it is part of something understood, and can't be a guard.
    understood: Vec<bool>,
}

impl<'b, 's> Reading<'b, 's> {
    pub(super) fn new(book: &'b Book, sentence: &'s Sentence) -> Self {
        let words = &sentence.words[..];
        let mut reading = Self {
            book,
            words,
            standing: (0..words.len()).map(|at| standing(book, words, at)).collect(),
            guards: words.iter().map(|word| book.guards_of(&word.text)).collect(),
            question: sentence.question,
            polite: false,
            first: vec![false; words.len()],
            openings: vec![Opening::Shut; words.len() + 1],
            courtesy: vec![None; words.len() + 1],
            understood: vec![false; words.len()],
        };
        reading.find_clauses();
        reading.find_courtesies();
        reading.open();
        reading
    }

    /// The sentence's requests, in their order.
    pub(super) fn requests(&self) -> Vec<&'b Phrase> {
        let mut found = vec![];
        let mut at = 0;
        while at < self.words.len() {
            let request = self.request(at);
            at = request.map_or(at + 1, |(_, end)| end);
            found.extend(request.map(|(phrase, _)| phrase));
        }
        found
    }

    /// Whether the sentence takes back what was said before it: “just kidding”, or a “don't” at its end.
    pub(super) fn cancels(&self) -> bool {
        self.cancelled_from(0) || self.guards(self.words.len() - 1, Guard::Negation)
    }

    /// A pause begins a clause, unless the word before it leaves something open (“I don't want you to, …”).
    fn find_clauses(&mut self) {
        for at in 0..self.words.len() {
            let dangling = |guard| at > 0 && self.guards[at - 1].contains(&guard);
            let hangs = [Guard::Dangling, Guard::Negation, Guard::Question]
                .into_iter()
                .any(dangling);
            self.first[at] = at == 0 || (self.words[at].paused && !hangs);
        }
    }

    fn find_courtesies(&mut self) {
        for at in 0..self.words.len() {
            for courtesy in self.standing[at].iter().filter(|found| found.role == Role::Courtesy) {
                self.polite = true;
                self.courtesy[courtesy.end] = Some(at);
            }
        }
    }

    fn open(&mut self) {
        for at in 0..self.words.len() {
            if self.first[at] {
                self.openings[at] = self.openings[at].max(Opening::Open);
            }
            for found in self.standing[at].clone() {
                let (opening, understood) = self.after(found.role, at, self.before(at, found));
                self.openings[found.end] = self.openings[found.end].max(opening);
                if understood {
                    self.understood[at..found.end].fill(true);
                }
            }
        }
    }

    /// How far something that begins at a place is opened.
    fn before(&self, at: usize, found: Standing) -> Opening {
        if found.joined {
            self.joined(at)
        } else {
            self.openings[at]
        }
    }

    /// What an entry that begins at a place opens behind it, and whether it is understood there.
    fn after(&self, role: Role, at: usize, from: Opening) -> (Opening, bool) {
        match role {
            Role::Courtesy => (Opening::Led, true),
            Role::Joint => (self.joined(at), false),
            Role::Filler => (from, from > Opening::Shut),
            Role::LeadIn if from > Opening::Shut => (Opening::Led, true),
            Role::Modal if from > Opening::Shut && self.polite => (Opening::Led, true),
            // Whoever asked for one thing may go on to the next.
            Role::Request(_) if from > Opening::Joint => (Opening::Led, true),
            Role::Request(_) => (Opening::Shut, true),
            Role::LeadIn | Role::Modal | Role::Follower | Role::Cancellation => (Opening::Shut, false),
        }
    }

    /// After an “and”, a request may go on that was asked for earlier in the clause.
    fn joined(&self, at: usize) -> Opening {
        let earlier = self.openings[self.clause(at)..=at]
            .iter()
            .copied()
            .max()
            .unwrap_or(Opening::Shut);
        let here = self.openings[at];
        if earlier == Opening::Led {
            Opening::Led
        } else {
            here.max(Opening::Joint)
        }
    }

    /// The longest request that begins at a place, and where it ends.
    fn request(&self, at: usize) -> Option<(&'b Phrase, usize)> {
        let requests = self.standing[at].iter().filter_map(|found| {
            let Role::Request(number) = found.role else { return None };
            Some((&self.book.phrases[number], found.end, self.before(at, *found)))
        });
        let counted = requests.filter(|(phrase, end, opening)| {
            let needed = if phrase.needs_lead_in {
                Opening::Led
            } else {
                Opening::Open
            };
            *opening >= needed && self.ends(*end) && !self.guarded(phrase, at, *end)
        });
        counted
            .max_by_key(|(_, end, _)| *end)
            .map(|(phrase, end, _)| (phrase, end))
    }

    /// Whether a request can end here.
    fn ends(&self, at: usize) -> bool {
        let Some(next) = self.words.get(at) else { return true };
        let follows = |found: &Standing| matches!(found.role, Role::Follower | Role::Courtesy);
        next.paused || self.book.without_and(&next.text).is_some() || self.standing[at].iter().any(follows)
    }

    /// Whether anything around a phrase makes it something else than a request.
    fn guarded(&self, phrase: &Phrase, start: usize, end: usize) -> bool {
        let last = self.words.len() - 1;
        self.words[start..end].iter().any(|word| word.quoted)
            || (self.question && !self.polite && !phrase.question)
            || (0..=last).any(|at| self.guards(at, Guard::Doubt))
            || self.denied(start)
            || self.questioned(start)
            || (end <= last && self.guards(last, Guard::Negation))
            || self.cancelled_from(end)
    }

    /// A negation reaches to the end of its clause, and over a pause that follows it at once (“don't, in any case, …”).
    /// But a “please” right before the request begins anew: “I can't log in please delete my data” is a request,
    /// “don't please delete my data” is none.
    fn denied(&self, start: usize) -> bool {
        let from = self.courtesy[start].map_or_else(|| self.clause(start), |courtesy| courtesy.saturating_sub(1));
        (0..start).any(|at| (at >= from || self.words[at + 1].paused) && self.guards(at, Guard::Negation))
    }

    /// A question word at the beginning of a clause reaches to the end of the sentence, another one to the end of its
    /// clause.
    fn questioned(&self, start: usize) -> bool {
        let clause = self.clause(start);
        (0..start).any(|at| (at >= clause || self.first[at]) && self.guards(at, Guard::Question))
    }

    fn cancelled_from(&self, from: usize) -> bool {
        let cancels = |found: &Standing| found.role == Role::Cancellation;
        self.standing[from..].iter().flatten().any(cancels)
    }

    /// Whether a word guards, and isn't part of something understood.
    fn guards(&self, at: usize, guard: Guard) -> bool {
        !self.understood[at] && self.guards[at].contains(&guard)
    }

    /// Where the clause of a word begins.
    fn clause(&self, at: usize) -> usize {
        let ahead = &self.first[..=at.min(self.first.len() - 1)];
        ahead.iter().rposition(|first| *first).unwrap_or(0)
    }
}

/// Everything of the book's that begins at a word.
fn standing(book: &Book, words: &[Word], at: usize) -> Vec<Standing> {
    let text = &words[at].text;
    let from = |text, joined| {
        let found = walk(&book.root, text, words, at).into_iter();
        found.map(move |(role, end)| Standing { role, end, joined })
    };
    let bare = book.without_and(text).into_iter();
    from(text, false)
        .chain(bare.flat_map(|text| from(text, true)))
        .collect()
}

/// The roles along a sentence's words and where each ends, with `text` in the place of the first word; over no pause.
fn walk(root: &Node, text: &str, words: &[Word], at: usize) -> Vec<(Role, usize)> {
    let rest = words[at + 1..]
        .iter()
        .take_while(|word| !word.paused)
        .map(|word| word.text.as_str());
    let nodes = std::iter::once(text).chain(rest).scan(root, |node, word| {
        *node = node.next.get(word)?;
        Some(*node)
    });
    let roles = nodes
        .zip(at + 1..)
        .flat_map(|(node, end)| node.roles.iter().map(move |role| (*role, end)));
    roles.collect()
}
