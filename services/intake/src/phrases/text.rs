//! A message as sentences of words, with what a reader sees between the words: pauses, quotes, question marks.
//!
//! What is neither a word nor understood as a mark becomes an empty word, which equals nothing, so that no phrase
//! can reach across it.

use super::normal::{folded, is_apostrophe, is_word};

/// The longest text that WhatsApp carries; of a longer one (a mail), the beginning is considered.
const MAX_CHARS: usize = 4096;

/// What stands between two full stops.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) words: Vec<Word>,
    /// Whether it ends in a question mark.
    pub(super) question: bool,
}

/// A word in the normal form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Inside quotation marks, struck through, or on a quoted line.
    pub(super) quoted: bool,
    /// After a comma, a dash or a new line.
    pub(super) paused: bool,
}

/// What a character is, when it isn't part of a word.
enum Mark {
    /// Ends a sentence.
    Stop { question: bool },
    /// Ends a clause.
    Pause,
    /// Begins or ends a quotation.
    Quote(Quote),
    /// Separates words and says nothing.
    Space,
    /// Says something that we don't understand: an empty word.
    Opaque,
}

enum Quote {
    Open,
    Close,
    Toggle,
}

#[derive(Default)]
struct Reader {
    chars: Vec<char>,
    at: usize,
    done: Vec<Sentence>,
    sentence: Sentence,
    paused: bool,
    quoted: bool,
    quoted_line: bool,
}

/// The sentences of a message.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    let mut reader = Reader {
        chars: considered(text),
        ..Reader::default()
    };
    reader.begin_line();
    while reader.at < reader.chars.len() {
        reader.step();
    }
    reader.end_sentence(false);
    reader.done
}

/// The beginning of a text that is too long, cut where a word ends: half a word might read as another one.
fn considered(text: &str) -> Vec<char> {
    let mut chars: Vec<char> = folded(text).take(MAX_CHARS + 1).collect();
    if chars.len() > MAX_CHARS {
        let whole = chars.iter().rposition(|character| character.is_whitespace());
        chars.truncate(whole.unwrap_or(0));
    }
    chars
}

impl Reader {
    fn step(&mut self) {
        if self.chars[self.at] == '\n' {
            self.new_line();
        } else if is_word(self.chars[self.at]) {
            self.word();
        } else {
            let mark = self.mark();
            self.at += 1;
            self.take(&mark);
        }
    }

    fn take(&mut self, mark: &Mark) {
        match mark {
            Mark::Stop { question } => self.end_sentence(*question),
            Mark::Pause => self.paused = true,
            Mark::Quote(Quote::Open) => self.quoted = true,
            Mark::Quote(Quote::Close) => self.quoted = false,
            Mark::Quote(Quote::Toggle) => self.quoted = !self.quoted,
            Mark::Space => {}
            Mark::Opaque => self.push(String::new()),
        }
    }

    fn word(&mut self) {
        let rest = &self.chars[self.at..];
        let inner = |place: usize| {
            is_apostrophe(rest[place]) && rest.get(place + 1).is_some_and(|next| is_word(*next)) || is_word(rest[place])
        };
        let length = (0..rest.len()).find(|place| !inner(*place)).unwrap_or(rest.len());
        let text: String = rest[..length].iter().filter(|character| is_word(**character)).collect();
        self.at += length;
        self.push(text.trim_matches('_').to_owned());
    }

    fn push(&mut self, text: String) {
        let quoted = self.quoted || self.quoted_line;
        self.sentence.words.push(Word {
            text,
            quoted,
            paused: std::mem::take(&mut self.paused),
        });
    }

    /// One new line is a pause, an empty line a full stop.
    fn new_line(&mut self) {
        self.paused = true;
        self.at += 1;
        while self.peek(0).is_some_and(char::is_whitespace) {
            if self.peek(0) == Some('\n') {
                self.end_sentence(false);
            }
            self.at += 1;
        }
        self.begin_line();
    }

    /// `>` quotes a line; a bullet makes it an item of a list, which is rarely a wish.
    fn begin_line(&mut self) {
        self.quoted_line = self.peek(0) == Some('>');
        let bullet = self
            .peek(0)
            .is_some_and(|first| matches!(first, '-' | '*' | '•' | '–' | '·'));
        if bullet && self.peek(1).is_some_and(char::is_whitespace) {
            self.at += 1;
            self.push(String::new());
        }
    }

    fn end_sentence(&mut self, question: bool) {
        self.paused = false;
        if !self.sentence.words.is_empty() {
            self.done.push(Sentence {
                question,
                ..std::mem::take(&mut self.sentence)
            });
        } else if let Some(last) = self.done.last_mut() {
            last.question |= question;
        }
    }

    fn mark(&self) -> Mark {
        let before = self.at.checked_sub(1).map(|place| self.chars[place]);
        match self.chars[self.at] {
            '.' | '。' => self.full_stop(),
            '!' | '۔' => Mark::Stop { question: false },
            '?' | '؟' => Mark::Stop { question: true },
            ',' | '،' | ';' | '؛' | '—' | '–' => Mark::Pause,
            '-' => self.dash(before),
            '“' | '„' | '«' | '‹' | '「' => Mark::Quote(Quote::Open),
            '”' | '»' | '›' | '」' => Mark::Quote(Quote::Close),
            '"' | '`' | '~' => Mark::Quote(Quote::Toggle),
            apostrophe if is_apostrophe(apostrophe) => self.single_quote(before),
            ':' | '*' => Mark::Space,
            other if other.is_ascii_punctuation() => Mark::Opaque,
            _ => Mark::Space,
        }
    }

    /// A full stop ends a sentence before white space; inside `example.com`, and after the `1` of a list, it doesn't.
    fn full_stop(&self) -> Mark {
        let goes_on = self.peek(1).is_some_and(is_word);
        let numbered = self
            .sentence
            .words
            .last()
            .is_some_and(|word| word.text.parse::<u32>().is_ok());
        if goes_on || numbered {
            Mark::Opaque
        } else {
            Mark::Stop { question: false }
        }
    }

    /// A hyphen joins two words; a dash is a pause.
    fn dash(&self, before: Option<char>) -> Mark {
        let joins = before.is_some_and(is_word) && self.peek(1).is_some_and(is_word);
        if joins { Mark::Space } else { Mark::Pause }
    }

    /// An apostrophe before a word opens a quotation, after one it closes one.
    fn single_quote(&self, before: Option<char>) -> Mark {
        match (before.is_some_and(is_word), self.peek(1).is_some_and(is_word)) {
            (false, true) => Mark::Quote(Quote::Open),
            (true, false) if self.quoted => Mark::Quote(Quote::Close),
            _ => Mark::Space,
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `|` between sentences, `/` before a pause, `"…"` around a quoted word, `#` for what is no word.
    fn shown(text: &str) -> String {
        let word = |word: &Word| {
            let text = if word.text.is_empty() { "#" } else { &word.text };
            let text = if word.quoted {
                format!("\"{text}\"")
            } else {
                text.to_owned()
            };
            if word.paused { format!("/ {text}") } else { text }
        };
        let sentence = |sentence: &Sentence| {
            let words: Vec<_> = sentence.words.iter().map(word).collect();
            words.join(" ") + if sentence.question { " ?" } else { "" }
        };
        sentences(text).iter().map(sentence).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn reads_words_pauses_quotes_and_stops() {
        for (text, read) in [
            ("Hi, delete my data. Thanks!", "hi / delete my data | thanks"),
            ("I don't, really?!", "i dont / really ?"),
            ("لا، احذف؟", "لا / احذف ?"),
            ("he said “delete my data” ok", "he said \"delete\" \"my\" \"data\" ok"),
            ("'delete my data' he said", "\"delete\" \"my\" \"data\" he said"),
            ("my users' data and ~my data~", "my users data and \"my\" \"data\""),
            ("*delete* _my_ data 🙏", "delete my data"),
            ("delete\nmy\n\ndata", "delete / my | data"),
            ("> delete my data\nno", "\"#\" \"delete\" \"my\" \"data\" / no"),
            ("- delete my data", "# delete my data"),
            ("1. Delete my data", "1 # delete my data"),
            ("left.delete (my) data", "left # delete # my # data"),
            ("un-delete - data/base: x", "un delete / data # base x"),
            ("delete_my_data", "delete_my_data"),
            ("...", ""),
        ] {
            assert_eq!(shown(text), read, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_words() {
        let long = "a ".repeat(MAX_CHARS / 2 - 2) + "data database";
        assert_eq!(sentences(&long)[0].words.last().unwrap().text, "data");
        assert_eq!(sentences(&"x".repeat(MAX_CHARS + 1)), []);
        assert_eq!(sentences(&"x".repeat(MAX_CHARS)).len(), 1);
    }
}
