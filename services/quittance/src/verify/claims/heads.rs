//! The log as a whole: signed heads, and whether each is a beginning of the later ones.
//!
//! Every proof brings a head of its own. Two heads of one size with different roots are two logs under one name, which
//! is the one thing that a log must never do; it shows here without asking anybody.

use std::collections::BTreeMap;

use evidence::merkle::Hash;
use evidence::merkle::verify::verify_consistency;
use evidence::note::{Checkpoint, SignedCheckpoint};
use platform::problem::chain;

use super::Checker;
use crate::verify::files::{Files, Growth};

/// Heads that the policy accepts, by log and size, each with the file that it came in.
#[derive(Debug, Default)]
pub(super) struct Heads(BTreeMap<(String, u64), Vec<(Hash, String)>>);

impl Heads {
    pub(super) fn add(&mut self, head: &Checkpoint, file: &str) {
        let heads = self.0.entry((head.origin.clone(), head.size)).or_default();
        if heads.iter().all(|(root, _)| *root != head.root) {
            heads.push((head.root, file.to_owned()));
        }
    }

    /// The logs that have a head of both sizes, with the roots.
    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = (&str, Hash, Hash)> {
        let earlier = self.0.iter().filter(move |((_, size), _)| *size == from);
        earlier.filter_map(move |((origin, _), roots)| {
            let later = self.0.get(&(origin.clone(), to))?;
            Some((origin.as_str(), roots.first()?.0, later.first()?.0))
        })
    }
}

impl Checker<'_> {
    pub(super) fn checkpoints(&mut self, files: &Files) {
        for (name, bytes) in &files.checkpoints {
            let accepted = SignedCheckpoint::parse(bytes)
                .map_err(|error| chain(&error))
                .and_then(|signed| self.policy.accepts(&signed).map_err(|error| chain(&error)));
            let says = accepted.map(|accepted| {
                self.heads.add(&accepted.checkpoint, name);
                let seen = match accepted.witnesses.len() {
                    0 => String::new(),
                    number => format!(" and seen by {number} witnesses"),
                };
                let (origin, size) = (accepted.checkpoint.origin, accepted.checkpoint.size);
                format!("the head of {origin} with {size} entries is signed{seen}, as the policy wants")
            });
            self.claim(&name, says);
        }
    }

    /// There is one tree of each size.
    pub(super) fn one_tree(&mut self) {
        let forked = self.heads.0.iter().filter(|(_, roots)| roots.len() > 1);
        let says = forked.map(|((origin, size), roots)| {
            let files: Vec<&str> = roots.iter().map(|(_, file)| file.as_str()).collect();
            let says = format!(
                "signed {} different heads of {size} entries ({}): it shows different logs to different people",
                roots.len(),
                files.join(", ")
            );
            (origin.clone(), says)
        });
        for (origin, says) in says.collect::<Vec<_>>() {
            self.claim(&origin, Err(says));
        }
    }

    /// The log only grew between two heads that were given.
    pub(super) fn growth(&mut self, files: &Files) {
        for (name, growth) in &files.growth {
            let outcome = self.grew(growth);
            self.claim(name, outcome);
        }
    }

    fn grew(&self, growth: &Growth) -> Result<String, String> {
        let Growth { from, to, hashes } = growth;
        let hashes: Vec<Hash> = hashes
            .lines()
            .map(|line| line.parse().map_err(|_| "is not one hash a line".to_owned()))
            .collect::<Result<_, _>>()?;
        let Some((origin, old, new)) = self.heads.between(*from, *to).next() else {
            return Err(format!(
                "needs the heads of {from} and of {to} entries: add them as checkpoint-{from} and checkpoint-{to}"
            ));
        };
        verify_consistency(*from, old, *to, new, &hashes).map_err(|error| chain(&error))?;
        Ok(format!(
            "the {to} entries of {origin} begin with the {from} of its earlier head, unchanged"
        ))
    }
}
