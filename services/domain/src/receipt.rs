//! What a system's owner can say about a task (contracts.md §5).
//!
//! The vocabulary is closed: categories, bases and citations come from lists, everything else is a number, a date,
//! a digest or an id. So a receipt can't hold a direct identifier, may travel on Kafka and may lie in an evidence pack.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use uuid::Uuid;

use crate::id::TaskId;
use crate::word::vocabulary;

vocabulary! {
    /// What became of a task, in one word.
    Outcome ("outcome") {
        /// Everything asked for was done.
        Completed = "completed",
        /// Something was kept; the results say what and on which ground.
        Partial = "partial",
        /// Nothing is held about this person.
        NotFound = "not_found",
        /// The owner refuses, on a named ground.
        Refused = "refused",
        /// It was tried and did not work; never closes anything.
        Failed = "failed",
    }
}

vocabulary! {
    /// What became of one category of data.
    CategoryOutcome ("category outcome") {
        /// Gone.
        Erased = "erased",
        /// Can't be linked to the person any more.
        Anonymised = "anonymised",
        /// Kept, on the named basis.
        Retained = "retained",
        /// Kept, and not used.
        Restricted = "restricted",
        /// Nothing there.
        NotFound = "not_found",
        /// Put right.
        Corrected = "corrected",
        /// Handed to the person or the controller.
        Provided = "provided",
        /// Refused, on the named basis.
        Refused = "refused",
        /// Tried, did not work, for the named reason.
        Failed = "failed",
    }
}

vocabulary! {
    /// Whose signature a receipt carries; shown wherever the receipt is.
    Signer ("signer") {
        /// The client's own key.
        Owner = "owner",
        /// A person's click, signed by us.
        Portal = "portal",
        /// Our code did the work, signed by us.
        Connector = "connector",
    }
}

vocabulary! {
    /// How much is known about a task; handing over is never the same as fulfilling.
    EvidenceLevel ("evidence level") {
        /// It was handed over.
        Dispatched = "dispatched",
        /// The owner says that it will act.
        Acknowledged = "acknowledged",
        /// The owner says what it did.
        Declared = "declared",
        /// Asking again showed it.
        Verified = "verified",
    }
}

/// One data category and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryResult {
    /// A word of [`Vocabulary::categories`].
    pub category: String,
    /// What became of it.
    pub outcome: CategoryOutcome,
    /// How many records, where the owner counted.
    pub count: Option<u64>,
    /// A word of [`Vocabulary::bases`]; needed for `retained`, `refused` and `failed`.
    pub basis: Option<String>,
    /// A text of [`Vocabulary::citations`].
    pub citation: Option<String>,
    /// When what was kept will go.
    pub erase_after: Option<Date>,
}

/// An access or portability package that lies with the controller; never with us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// SHA-256 of the encrypted package.
    pub sha256: [u8; 32],
    /// Its size.
    pub bytes: u64,
    /// When the controller takes it away.
    pub expires_at: Timestamp,
}

/// Event `task-completed`: the work is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The task.
    pub task: TaskId,
    /// SHA-256 of the body that its owner was sent.
    pub task_digest: [u8; 32],
    /// In one word.
    pub outcome: Outcome,
    /// Per category; at most [`RESULTS_MAX`].
    pub results: Vec<CategoryResult>,
    /// For access and portability.
    pub artifact: Option<Artifact>,
    /// SHA-256 of what was sent to the attachments door; at most [`ATTACHMENTS_MAX`].
    pub attachments: Vec<[u8; 32]>,
}

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// `task-completed`.
    Completed(Completion),
    /// `task-acknowledged`: will do, by when.
    Acknowledged {
        /// The task.
        task: TaskId,
        /// SHA-256 of the body that its owner was sent.
        task_digest: [u8; 32],
        /// By when.
        by: Timestamp,
    },
    /// `task-amended`: takes the place of an earlier receipt.
    Amended {
        /// What holds now.
        completion: Completion,
        /// The earlier receipt's `jti`.
        supersedes: Uuid,
    },
}

impl Report {
    /// The task that it is about.
    #[must_use]
    pub fn task(&self) -> TaskId {
        match self {
            Self::Completed(completion) | Self::Amended { completion, .. } => completion.task,
            Self::Acknowledged { task, .. } => *task,
        }
    }

    /// The digest of the body that the signer says it was sent.
    #[must_use]
    pub fn task_digest(&self) -> &[u8; 32] {
        match self {
            Self::Completed(completion) | Self::Amended { completion, .. } => &completion.task_digest,
            Self::Acknowledged { task_digest, .. } => task_digest,
        }
    }

    /// What it shows about the task.
    #[must_use]
    pub fn level(&self) -> EvidenceLevel {
        match self {
            Self::Completed(_) | Self::Amended { .. } => EvidenceLevel::Declared,
            Self::Acknowledged { .. } => EvidenceLevel::Acknowledged,
        }
    }
}

/// More categories than any register of processing that we met; it bounds the token's size.
pub const RESULTS_MAX: usize = 64;

/// A receipt names digests only, so a handful of files is the rule and a page of them the limit.
pub const ATTACHMENTS_MAX: usize = 32;

/// Why a completion contradicts itself or steps out of the vocabulary. Words are not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompletionError {
    /// More results than [`RESULTS_MAX`] or attachments than [`ATTACHMENTS_MAX`].
    #[error("too many results or attachments")]
    TooMany,
    /// A category, basis or citation that the registry does not list.
    #[error("results[{0}] has a category, basis or citation that is not in the registry's lists")]
    Unlisted(usize),
    /// `retained`, `refused` or `failed` without a basis.
    #[error("results[{0}] needs a basis")]
    NoBasis(usize),
    /// The same category twice.
    #[error("results[{0}] repeats a category")]
    Repeated(usize),
    /// The results don't add up to the outcome.
    #[error("the outcome does not follow from the results")]
    Contradiction,
}

impl Completion {
    /// Checks the rules of contracts.md §5 that the shape alone does not hold.
    pub fn check(&self, vocabulary: &Vocabulary) -> Result<(), CompletionError> {
        if self.results.len() > RESULTS_MAX || self.attachments.len() > ATTACHMENTS_MAX {
            return Err(CompletionError::TooMany);
        }
        let mut seen = BTreeSet::new();
        for (place, result) in self.results.iter().enumerate() {
            vocabulary.check(place, result)?;
            if !seen.insert(&result.category) {
                return Err(CompletionError::Repeated(place));
            }
        }
        if self.adds_up() {
            Ok(())
        } else {
            Err(CompletionError::Contradiction)
        }
    }

    /// `completed` may not hide something kept, and `partial`, `refused` must name it.
    fn adds_up(&self) -> bool {
        use CategoryOutcome::{Failed, NotFound, Refused, Restricted, Retained};
        let any = |wanted: &[CategoryOutcome]| self.results.iter().any(|result| wanted.contains(&result.outcome));
        let all = |wanted: &[CategoryOutcome]| self.results.iter().all(|result| wanted.contains(&result.outcome));
        match self.outcome {
            Outcome::Completed => !any(&[Retained, Restricted, Refused, Failed]),
            Outcome::Partial => any(&[Retained, Restricted, Refused, Failed, NotFound]),
            Outcome::NotFound => all(&[NotFound]),
            Outcome::Refused => any(&[Refused]) && all(&[Refused, NotFound]),
            Outcome::Failed => any(&[Failed]),
        }
    }
}

/// The lists that a receipt's free words must come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vocabulary {
    /// Data categories.
    pub categories: BTreeSet<String>,
    /// Grounds for keeping, refusing, failing.
    pub bases: BTreeSet<String>,
    /// Where the ground is written.
    pub citations: BTreeSet<String>,
}

impl Vocabulary {
    /// The lists that every deployment starts with.
    ///
    /// # Panics
    /// Never: the embedded file is parsed by a test.
    #[must_use]
    pub fn standard() -> &'static Self {
        static STANDARD: LazyLock<Vocabulary> =
            LazyLock::new(|| toml::from_str(include_str!("../vocabulary.toml")).expect("a test reads the file"));
        &STANDARD
    }

    fn check(&self, place: usize, result: &CategoryResult) -> Result<(), CompletionError> {
        let listed = |word: Option<&String>, list: &BTreeSet<String>| word.is_none_or(|word| list.contains(word));
        let needs_basis = matches!(
            result.outcome,
            CategoryOutcome::Retained | CategoryOutcome::Refused | CategoryOutcome::Failed
        );
        if !self.categories.contains(&result.category)
            || !listed(result.basis.as_ref(), &self.bases)
            || !listed(result.citation.as_ref(), &self.citations)
        {
            return Err(CompletionError::Unlisted(place));
        }
        if needs_basis && result.basis.is_none() {
            Err(CompletionError::NoBasis(place))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(category: &str, outcome: CategoryOutcome, basis: Option<&str>) -> CategoryResult {
        CategoryResult {
            category: category.into(),
            outcome,
            count: None,
            basis: basis.map(Into::into),
            citation: None,
            erase_after: None,
        }
    }

    fn check(outcome: Outcome, results: Vec<CategoryResult>) -> Result<(), CompletionError> {
        let task = TaskId::from_uuid(Uuid::from_u128(1));
        let completion = Completion {
            task,
            task_digest: [0; 32],
            outcome,
            results,
            artifact: None,
            attachments: vec![],
        };
        completion.check(Vocabulary::standard())
    }

    #[test]
    fn outcomes_follow_from_their_results() {
        use CategoryOutcome::{Erased, Failed, Refused, Retained};
        let kept = || result("invoices", Retained, Some("tax_law"));
        let gone = || result("conversations", Erased, None);
        assert_eq!(check(Outcome::Completed, vec![gone()]), Ok(()));
        assert_eq!(
            check(Outcome::Completed, vec![gone(), kept()]),
            Err(CompletionError::Contradiction)
        );
        assert_eq!(check(Outcome::Partial, vec![gone(), kept()]), Ok(()));
        assert_eq!(
            check(Outcome::Partial, vec![gone()]),
            Err(CompletionError::Contradiction)
        );
        assert_eq!(check(Outcome::NotFound, vec![]), Ok(()));
        assert_eq!(check(Outcome::Refused, vec![]), Err(CompletionError::Contradiction));
        assert_eq!(
            check(Outcome::Refused, vec![result("profile", Refused, Some("legal_claims"))]),
            Ok(())
        );
        assert_eq!(
            check(
                Outcome::Failed,
                vec![result("profile", Failed, Some("system_unavailable"))]
            ),
            Ok(())
        );
    }

    #[test]
    fn words_outside_the_lists_are_refused() {
        let named = result("Layla Qasim", CategoryOutcome::Erased, None);
        assert_eq!(
            check(Outcome::Completed, vec![named]),
            Err(CompletionError::Unlisted(0))
        );
        let kept = result("invoices", CategoryOutcome::Retained, None);
        assert_eq!(check(Outcome::Partial, vec![kept]), Err(CompletionError::NoBasis(0)));
        let twice = vec![
            result("orders", CategoryOutcome::Erased, None),
            result("orders", CategoryOutcome::Erased, None),
        ];
        assert_eq!(check(Outcome::Completed, twice), Err(CompletionError::Repeated(1)));
    }
}
