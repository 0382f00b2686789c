//! What an auditor trusts: which log, which witnesses, and how many of them must have seen a checkpoint.
//!
//! A policy is a small text file (C2SP tlog-policy) that reaches the auditor by another way than the proofs do. A
//! group may name only what stands before it, so a cycle can't be written; and each name may stand in one group
//! only, so no witness counts twice. [`Policy::accepts`] is the only way from a note to a checkpoint that may be
//! believed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::note::{Checkpoint, KeyType, NoteError, NoteKey, SignedCheckpoint};

/// The longest policy, and the most lines in one: the specification asks for 32 logs, witnesses and groups.
const BYTES_MAX: usize = 64 * 1024;
const LINES_MAX: usize = 1024;

/// Trusted logs and witnesses, and the quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<NoteKey>,
    witnesses: Vec<(String, NoteKey)>,
    quorum: Option<Rule>,
}

/// When something counts as witnessed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// That witness has cosigned; its place in the list.
    Witness(usize),
    /// At least so many of the members have.
    Group(usize, Vec<Rule>),
}

/// What a policy has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The tree's head, to be believed.
    pub checkpoint: Checkpoint,
    /// The witnesses that saw it, by the policy's names, and when.
    pub witnesses: Vec<(String, Timestamp)>,
}

/// A policy file that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy, line {line}: {why}")]
pub struct PolicyError {
    /// Counted from 1; after the last line for what is missing at the end.
    pub line: usize,
    /// What is wrong.
    pub why: PolicyFault,
}

/// What can be wrong with a line of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// Longer than any policy.
    #[error("the file is too long")]
    TooLong,
    /// A control character.
    #[error("only tabs, spaces and printable characters may stand in a policy")]
    Character,
    /// Not one of the forms of a line.
    #[error(
        "`log <key> [<url>]`, `witness <name> <key> [<url>]`, `group <name> <k|any|all> <name>…` or `quorum <name|none>` was expected"
    )]
    Form,
    /// A key that can't be read, or of the wrong type for its line.
    #[error("not the key of a log (type 1) or of a witness (type 4), as the line wants")]
    Key,
    /// The same public key twice.
    #[error("the same key stands on an earlier line")]
    RepeatedKey,
    /// A name twice, or `none`.
    #[error("this name is taken")]
    RepeatedName,
    /// A name that no line before has defined.
    #[error("no line before this one defines that name")]
    UnknownName,
    /// A member of two groups, or twice of one.
    #[error("a name may be a member of one group, once")]
    RepeatedMember,
    /// `k` is not between 1 and the number of members.
    #[error("the threshold must be between 1 and the number of members")]
    Threshold,
    /// Not exactly one `quorum` line.
    #[error("exactly one `quorum` line was expected")]
    Quorum,
}

/// Why a checkpoint may not be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unaccepted {
    /// A signature that does not hold, or none that is known.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// No log of the policy has signed it under its own origin.
    #[error("no log of the policy has signed this checkpoint")]
    Log,
    /// Too few witnesses have seen it.
    #[error("the policy's quorum of witnesses is not met: seen by {0}")]
    Quorum(usize),
}

impl Policy {
    /// Reads a policy file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let lines = text.lines().count();
        let fault = |line, why| Err(PolicyError { line, why });
        if text.len() > BYTES_MAX || lines > LINES_MAX {
            return fault(1, PolicyFault::TooLong);
        }
        let mut reader = Reader::default();
        for (line, number) in text.split('\n').zip(1..) {
            reader.line(line).map_err(|why| PolicyError { line: number, why })?;
        }
        match reader.quorum.pop() {
            Some(quorum) => Ok(Self {
                logs: reader.logs,
                witnesses: reader.witnesses,
                quorum,
            }),
            None => fault(lines + 1, PolicyFault::Quorum),
        }
    }

    /// The policy of one log without witnesses, which trusts the log not to show different trees to different people.
    #[must_use]
    pub fn of_log(log: NoteKey) -> Self {
        Self {
            logs: vec![log],
            witnesses: vec![],
            quorum: None,
        }
    }

    /// Believes a checkpoint that a log of the policy has signed under its own origin and that enough witnesses saw.
    pub fn accepts(&self, signed: &SignedCheckpoint) -> Result<Accepted, Unaccepted> {
        let known: Vec<NoteKey> = self
            .logs
            .iter()
            .chain(self.witnesses.iter().map(|(_, key)| key))
            .cloned()
            .collect();
        let lines = signed.verified_by(&known)?;
        let checkpoint = signed.checkpoint();
        if !lines
            .iter()
            .any(|line| self.logs.contains(&line.key) && line.key.name() == checkpoint.origin)
        {
            return Err(Unaccepted::Log);
        }
        let seen_at = |key: &NoteKey| lines.iter().find(|line| line.key == *key).and_then(|line| line.at);
        let seen: Vec<Option<Timestamp>> = self.witnesses.iter().map(|(_, key)| seen_at(key)).collect();
        if !self.quorum.as_ref().is_none_or(|rule| rule.met(&seen)) {
            return Err(Unaccepted::Quorum(seen.iter().flatten().count()));
        }
        let names = self.witnesses.iter().map(|(name, _)| name.clone());
        let witnesses = names.zip(seen).filter_map(|(name, at)| Some((name, at?))).collect();
        Ok(Accepted {
            checkpoint: checkpoint.clone(),
            witnesses,
        })
    }
}

impl Rule {
    fn met(&self, seen: &[Option<Timestamp>]) -> bool {
        match self {
            Self::Witness(place) => seen[*place].is_some(),
            Self::Group(needed, members) => members.iter().filter(|member| member.met(seen)).count() >= *needed,
        }
    }
}

/// A policy, read as far as some line.
#[derive(Default)]
struct Reader {
    logs: Vec<NoteKey>,
    witnesses: Vec<(String, NoteKey)>,
    names: BTreeMap<String, Rule>,
    members: BTreeSet<String>,
    /// One in the end.
    quorum: Vec<Option<Rule>>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), PolicyFault> {
        if line
            .chars()
            .any(|character| character < ' ' && character != '\t' || character == '\u{7f}')
        {
            return Err(PolicyFault::Character);
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words[..] {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] | ["log", key, _] => self.log(key),
            ["witness", name, key] | ["witness", name, key, _] => self.witness(name, key),
            ["group", name, needed, ref members @ ..] if !members.is_empty() => self.group(name, needed, members),
            ["quorum", name] => self.set_quorum(name),
            _ => Err(PolicyFault::Form),
        }
    }

    fn log(&mut self, key: &str) -> Result<(), PolicyFault> {
        let key = typed(key, KeyType::Log)?;
        if self.logs.iter().any(|known| known.public() == key.public()) {
            return Err(PolicyFault::RepeatedKey);
        }
        self.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str) -> Result<(), PolicyFault> {
        let key = typed(key, KeyType::Witness)?;
        if self.witnesses.iter().any(|(_, known)| known.public() == key.public()) {
            return Err(PolicyFault::RepeatedKey);
        }
        self.define(name, Rule::Witness(self.witnesses.len()))?;
        self.witnesses.push((name.to_owned(), key));
        Ok(())
    }

    fn group(&mut self, name: &str, needed: &str, members: &[&str]) -> Result<(), PolicyFault> {
        let needed = match needed {
            "any" => 1,
            "all" => members.len(),
            number => number.parse().map_err(|_| PolicyFault::Form)?,
        };
        if !(1..=members.len()).contains(&needed) {
            return Err(PolicyFault::Threshold);
        }
        let rules = members
            .iter()
            .map(|member| self.join(member))
            .collect::<Result<_, _>>()?;
        self.define(name, Rule::Group(needed, rules))
    }

    fn join(&mut self, member: &str) -> Result<Rule, PolicyFault> {
        let rule = self.names.get(member).cloned().ok_or(PolicyFault::UnknownName)?;
        if self.members.insert(member.to_owned()) {
            Ok(rule)
        } else {
            Err(PolicyFault::RepeatedMember)
        }
    }

    fn define(&mut self, name: &str, rule: Rule) -> Result<(), PolicyFault> {
        if name == "none" || self.names.contains_key(name) {
            return Err(PolicyFault::RepeatedName);
        }
        self.names.insert(name.to_owned(), rule);
        Ok(())
    }

    fn set_quorum(&mut self, name: &str) -> Result<(), PolicyFault> {
        let rule = match name {
            "none" => None,
            name => Some(self.names.get(name).cloned().ok_or(PolicyFault::UnknownName)?),
        };
        self.quorum.push(rule);
        if self.quorum.len() == 1 {
            Ok(())
        } else {
            Err(PolicyFault::Quorum)
        }
    }
}

fn typed(key: &str, wanted: KeyType) -> Result<NoteKey, PolicyFault> {
    key.parse()
        .ok()
        .filter(|key: &NoteKey| key.key_type() == wanted)
        .ok_or(PolicyFault::Key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::tests::{checkpoint, log, witness};

    fn file(rules: &str) -> String {
        let keys = (1..=5).map(|number| format!("witness W{number} {}", witness(number).key()));
        let witnesses = keys.collect::<Vec<_>>().join("\n");
        format!(
            "# trust\n\nlog {} https://log.example/\n{witnesses}\n{rules}",
            log().key()
        )
    }

    fn note(seen_by: &[u8]) -> SignedCheckpoint {
        let signed = checkpoint().sign(&log());
        let at = Timestamp::from_second(1_777_885_300).unwrap();
        let lines: String = seen_by
            .iter()
            .map(|number| signed.cosign(&witness(*number), at))
            .collect();
        signed.with_lines(&lines).unwrap()
    }

    const TWO_LEVELS: &str = "group\tX 2 W1 W2 W3\n group Y any W4 W5 \ngroup both all X Y\nquorum both\n";

    #[test]
    fn counts_witnesses_as_the_groups_say() {
        let policy = Policy::parse(&file(TWO_LEVELS)).unwrap();
        let accepts = |seen_by: &[u8]| policy.accepts(&note(seen_by)).map(|accepted| accepted.witnesses.len());
        assert_eq!(accepts(&[1, 3, 5]), Ok(3));
        assert_eq!(accepts(&[1, 2, 3, 4, 5]), Ok(5));
        assert_eq!(accepts(&[1, 4, 5]), Err(Unaccepted::Quorum(3)));
        assert_eq!(accepts(&[1, 2, 3]), Err(Unaccepted::Quorum(3)));
        assert_eq!(accepts(&[]), Err(Unaccepted::Quorum(0)));
        let single = Policy::parse(&file("quorum W2")).unwrap();
        assert_eq!(single.accepts(&note(&[2])).unwrap().witnesses[0].0, "W2");
        assert_eq!(single.accepts(&note(&[1])), Err(Unaccepted::Quorum(1)));
        let none = Policy::parse(&file("quorum none\n")).unwrap();
        assert_eq!(none.accepts(&note(&[])).unwrap().checkpoint, checkpoint());
    }

    #[test]
    fn only_the_log_of_that_origin_can_sign_for_it() {
        let policy = Policy::parse(&file("quorum none")).unwrap();
        let mut foreign = checkpoint();
        foreign.origin = "other.example/log".into();
        assert_eq!(policy.accepts(&foreign.sign(&log())), Err(Unaccepted::Log));
        // A witness's line is no log's.
        let cosigned = checkpoint().sign(&witness(1));
        assert!(policy.accepts(&cosigned).is_err());
        let stranger = crate::note::NoteSigner::new(KeyType::Log, "log.example/dsr", &[9; 32]).unwrap();
        assert_eq!(
            policy.accepts(&checkpoint().sign(&stranger)),
            Err(Unaccepted::Note(NoteError::Unsigned))
        );
        let own = Policy::of_log(log().key().clone());
        assert_eq!(own.accepts(&note(&[])).unwrap().checkpoint, checkpoint());
    }

    #[test]
    fn refuses_files_that_could_be_understood_in_two_ways() {
        use PolicyFault::{
            Character, Form, Key, Quorum, RepeatedKey, RepeatedMember, RepeatedName, Threshold, UnknownName,
        };
        let (log, witness) = (log().key().to_string(), witness(1).key().to_string());
        for (rules, why) in [
            ("", Quorum),
            ("quorum none\nquorum none", Quorum),
            ("quorum X\ngroup X any W1", UnknownName),
            ("group A any B\ngroup B any A\nquorum A", UnknownName),
            ("group A any A\nquorum A", UnknownName),
            ("group A any none\nquorum A", UnknownName),
            ("group none any W1\nquorum none", RepeatedName),
            ("group W1 any W2\nquorum W1", RepeatedName),
            ("group A 2 W1 W1\nquorum A", RepeatedMember),
            ("group A any W1\ngroup B any W1\nquorum A", RepeatedMember),
            ("group A 0 W1\nquorum A", Threshold),
            ("group A 2 W1\nquorum A", Threshold),
            ("group A all\nquorum A", Form),
            ("group A most W1\nquorum A", Form),
            ("quorum", Form),
            ("trust W1", Form),
            ("quorum none\r", Character),
            (&format!("log {log}"), RepeatedKey),
            (&format!("witness W6 {witness}"), RepeatedKey),
            (&format!("witness W6 {log}"), Key),
            (&format!("log {witness}"), Key),
            ("log nonsense", Key),
        ] {
            assert_eq!(Policy::parse(&file(rules)).unwrap_err().why, why, "{rules}");
        }
        assert_eq!(Policy::parse(&file("group A 0 W1")).unwrap_err().line, 9);
        assert_eq!(
            Policy::parse(&"#\n".repeat(2000)).unwrap_err().why,
            PolicyFault::TooLong
        );
    }
}
