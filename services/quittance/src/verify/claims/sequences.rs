//! What is missing: each controller's entries are numbered from 1 without a gap, and so are its requests.
//!
//! A selection of entries has gaps, and they are told, not held against it. Whoever asked for all of them demands that
//! there are none.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::{ControllerId, RequestId};
use evidence::entry::body::Body;

use super::Checker;

/// Gaps that are told by their numbers; more are counted.
const GAPS_TOLD: usize = 5;

impl Checker<'_> {
    /// No two entries may stand in one place of the log or of a controller's sequence.
    pub(super) fn places(&mut self) {
        let mut indices = BTreeMap::new();
        let mut seqs = BTreeMap::new();
        let mut twice = vec![];
        for verified in self.proved.values() {
            let id = verified.entry.id;
            let index = indices.insert(verified.index, id).filter(|other| *other != id);
            let place = (verified.entry.controller, verified.controller_seq);
            let seq = seqs.insert(place, id).filter(|other| *other != id);
            twice.extend(index.or(seq).map(|other| (id, other)));
        }
        for (id, other) in twice {
            self.claim(&id, Err(format!("stands in the same place as {other}")));
        }
    }

    /// Which numbers of each controller's sequence were given.
    pub(super) fn sequences(&mut self) {
        let mut given: BTreeMap<ControllerId, BTreeSet<u64>> = BTreeMap::new();
        for verified in self.proved.values() {
            given
                .entry(verified.entry.controller)
                .or_default()
                .insert(verified.controller_seq);
        }
        for (controller, numbers) in given {
            self.dense(controller, "entries", &numbers);
        }
    }

    /// Which of a controller's requests were given; no number was given to two of them.
    pub(super) fn requests(&mut self) {
        let mut given: BTreeMap<ControllerId, BTreeMap<u64, RequestId>> = BTreeMap::new();
        let mut twice = vec![];
        for entry in self.proved.values().map(|verified| &verified.entry) {
            let (owner, number) = match &entry.body {
                Body::Intake(intake) => (entry.controller, intake.intake_seq),
                Body::Matched(matched) => (matched.to_controller, matched.intake_seq),
                _ => continue,
            };
            let Some(request) = entry.request else { continue };
            let other = given.entry(owner).or_default().insert(number, request);
            twice.extend(
                other
                    .filter(|other| *other != request)
                    .map(|other| (request, number, other)),
            );
        }
        for (request, number, other) in twice {
            self.claim(&request, Err(format!("has number {number}, which {other} has")));
        }
        for (controller, numbers) in given {
            self.dense(controller, "requests", &numbers.into_keys().collect());
        }
    }

    fn dense(&mut self, controller: ControllerId, what: &str, numbers: &BTreeSet<u64>) {
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
            return;
        };
        let gaps = gaps(numbers);
        // All of them begin with the first.
        let gaps = match *first {
            1 => gaps,
            first if self.demands.complete => std::iter::once((1, first - 1)).chain(gaps).collect(),
            _ => gaps,
        };
        let outcome = if gaps.is_empty() {
            Ok(format!(
                "its {what} from number {first} to {last} are here without a gap"
            ))
        } else {
            let says = format!("of its {what} up to number {last}, these are not here: {}", told(&gaps));
            if self.demands.complete { Err(says) } else { Ok(says) }
        };
        self.claim(&controller, outcome);
    }
}

/// The numbers between the first and the last that are not there, as ranges.
fn gaps(numbers: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let pairs = numbers.iter().zip(numbers.iter().skip(1));
    pairs
        .filter(|(one, next)| **next - **one > 1)
        .map(|(one, next)| (one + 1, next - 1))
        .collect()
}

fn told(gaps: &[(u64, u64)]) -> String {
    let range = |(from, to): &(u64, u64)| {
        if from == to {
            from.to_string()
        } else {
            format!("{from}–{to}")
        }
    };
    let mut told: Vec<String> = gaps.iter().take(GAPS_TOLD).map(range).collect();
    if let Some(more) = gaps.len().checked_sub(GAPS_TOLD).filter(|more| *more > 0) {
        told.push(format!("and {more} more gaps"));
    }
    told.join(", ")
}
