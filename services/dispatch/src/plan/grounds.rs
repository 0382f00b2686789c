//! What plans are made from: snapshots of the registry and instructions, as they were logged.
//!
//! Neither ever changes under its id, so what was read once is remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::InstructionId;
use domain::registration::{InstructionMode, System};
use platform::db::{DbError, Tx};
use store::plans;
use uuid::Uuid;

/// Snapshots are a kilobyte or two; the controllers beyond this many take turns.
const REMEMBERED_MAX: usize = 10_000;

/// What is remembered; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grounds(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    snapshots: HashMap<Uuid, Arc<[System]>>,
    modes: HashMap<InstructionId, InstructionMode>,
}

impl Grounds {
    /// Reads what is not remembered yet.
    pub(super) async fn learn(
        &self,
        tx: &mut Tx,
        snapshots: &[Uuid],
        instructions: &[InstructionId],
    ) -> Result<(), DbError> {
        let (snapshots, instructions) = self.missing(snapshots, instructions);
        let snapshots = plans::snapshots(tx, &snapshots).await?;
        let instructions = plans::instructions(tx, &instructions).await?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.snapshots.len() + known.modes.len() > REMEMBERED_MAX {
            *known = Known::default();
        }
        let snapshots = snapshots.into_iter().map(|(id, systems)| (id, systems.into()));
        known.snapshots.extend(snapshots);
        let modes = instructions.into_iter().map(|(id, instruction)| (id, instruction.mode));
        known.modes.extend(modes);
        Ok(())
    }

    fn missing(&self, snapshots: &[Uuid], instructions: &[InstructionId]) -> (Vec<Uuid>, Vec<InstructionId>) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshots = snapshots.iter().filter(|id| !known.snapshots.contains_key(id));
        let instructions = instructions.iter().filter(|id| !known.modes.contains_key(id));
        (snapshots.copied().collect(), instructions.copied().collect())
    }

    /// The systems of a snapshot.
    pub(super) fn systems(&self, snapshot: Uuid) -> Option<Arc<[System]>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.snapshots.get(&snapshot).cloned()
    }

    /// What an instruction says.
    pub(super) fn mode(&self, instruction: InstructionId) -> Option<InstructionMode> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.modes.get(&instruction).copied()
    }
}
