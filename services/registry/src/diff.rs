//! What a file changes in the registry: computed and checked before anything is written.
//!
//! Things are found by their slug (an account by its channel, a key by its issuer and thumbprint). What is new gets
//! an id, what differs is changed whole, what is the same is left out, so that applying a file twice does nothing.

use std::collections::{HashMap, HashSet};

use domain::id::{BindingId, ControllerId, InstructionId, KeyId, SystemId};
use domain::person::IdentityKind;
use domain::registration::{Binding, ConnectorKind, Controller, Instruction, InstructionMode, System};
use evidence::jwk::Jwk;
use jiff::Timestamp;
use platform::chance::{self, Rng};
use platform::secret::Secret;
use platform::webhook;
use serde::Serialize;
use store::registry::Directory;
use store::registry::secrets::Kept;
use store::registry::write::KeyEnd;
use uuid::Uuid;

use crate::file::{At, BindingEntry, ContactEntry, ControllerEntry, File, InstructionEntry, SystemEntry};

mod check;
mod key;
mod line;

pub use line::{Line, Sign};

/// Everything that a file changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// The registry's version that this was computed from.
    pub version: i64,
    /// New or changed, with the `whsk_` keys to be stored, if the file names some.
    pub controllers: Vec<(Controller, Vec<Secret>)>,
    /// Whose, slug, e-mail address.
    pub contacts: Vec<(ControllerId, String, Secret)>,
    /// New or changed.
    pub bindings: Vec<Binding>,
    /// New or changed, with the `whsec_` secrets to be stored, if there are some.
    pub systems: Vec<(System, Vec<Secret>)>,
    /// New keys.
    pub keys: Vec<Key>,
    /// Keys that end.
    pub ended: Vec<(Key, KeyEnd)>,
    /// New editions.
    pub instructions: Vec<Instruction>,
    /// What a person is shown.
    pub lines: Vec<Line>,
}

/// A public key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub controller: ControllerId,
    /// The `iss` that may use it.
    pub issuer: String,
    /// The key.
    pub jwk: Jwk,
}

/// A mistake in a file: where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}{place}: {fault}")]
pub struct Fault {
    /// In which file, and where in it.
    pub at: At,
    /// Which entry.
    pub place: String,
    /// What is wrong.
    pub fault: String,
}

/// What computing a difference needs beside the file.
pub struct Context<'c> {
    /// The picture that the file is compared with.
    pub directory: &'c Directory,
    /// For the ids of what is new.
    pub now: Timestamp,
    /// For ids and for secrets that have to be made.
    pub rng: &'c dyn Rng,
    /// Opens stored secrets by their owner's id, to compare them.
    pub stored_secrets: &'c dyn Fn(Uuid) -> Option<Vec<Kept>>,
    /// Opens a stored contact's address, to compare it.
    pub stored_contact: &'c dyn Fn(ControllerId, &str) -> Option<Secret>,
}

/// Compares a file with the registry. All mistakes are told at once.
pub fn diff(file: File, context: &Context<'_>) -> Result<Changes, Vec<Fault>> {
    let mut differ = Differ::new(context);
    file.controllers.into_iter().for_each(|entry| differ.controller(entry));
    file.contacts.into_iter().for_each(|entry| differ.contact(entry));
    file.bindings.into_iter().for_each(|entry| differ.binding(entry));
    file.systems.into_iter().for_each(|entry| differ.system(entry));
    file.keys.into_iter().for_each(|entry| differ.key(entry));
    file.instructions
        .into_iter()
        .for_each(|entry| differ.instruction(entry));
    differ.finish()
}

struct Differ<'c> {
    context: &'c Context<'c>,
    /// Controllers by slug: those of the registry, and those of the file as it is read.
    known: HashMap<String, Controller>,
    changes: Changes,
    faults: Vec<Fault>,
    /// What was entered so far.
    named: HashSet<String>,
    /// Where the entry stands that is looked at.
    at: At,
}

impl<'c> Differ<'c> {
    fn new(context: &'c Context<'c>) -> Self {
        let by_slug = |controller: &Controller| (controller.slug.clone(), controller.clone());
        let changes = Changes {
            version: context.directory.version(),
            ..Changes::default()
        };
        Self {
            context,
            known: context.directory.controllers().map(by_slug).collect(),
            changes,
            faults: vec![],
            named: HashSet::new(),
            at: At::default(),
        }
    }

    fn controller(&mut self, entry: ControllerEntry) {
        let Some(place) = self.enter(format!("controller {}", entry.slug), &entry.at) else {
            return;
        };
        let known = self.known.get(&entry.slug).cloned();
        let id = known
            .as_ref()
            .map_or_else(|| self.fresh(ControllerId::new), |known| known.id);
        let (controller, keys) = check::controller(entry, id);
        let lawful = check::terms(&controller)
            .and_then(|()| check::signing_keys(&keys))
            .and_then(|()| self.not_replaced(id.uuid(), &keys));
        if let Err(fault) = lawful.and_then(|()| self.only_operator(&controller)) {
            // What is said of it further down may have mistakes of its own.
            self.known.insert(controller.slug.clone(), controller);
            return self.fault(place, fault);
        }
        let same_keys = keys.is_empty() || self.same_secrets(id.uuid(), &keys);
        match known {
            Some(known) if known == controller && same_keys => return,
            Some(known) => self.say_changed(place, &known, &controller, !same_keys),
            None => self.say(Sign::Added, place, controller.id.to_string()),
        }
        self.known.insert(controller.slug.clone(), controller.clone());
        self.changes
            .controllers
            .push((controller, if same_keys { vec![] } else { keys }));
    }

    fn contact(&mut self, entry: ContactEntry) {
        let Some(place) = self.enter(format!("contact {}/{}", entry.controller, entry.slug), &entry.at) else {
            return;
        };
        let Some(controller) = self.owner(&entry.controller, &place) else {
            return;
        };
        if !entry.email.expose().contains('@') {
            return self.fault(place, "`email` is an e-mail address");
        }
        let known = (self.context.stored_contact)(controller, &entry.slug);
        match &known {
            Some(known) if *known == entry.email => {}
            Some(_) => self.say(Sign::Changed, place, "email"),
            None => self.say(Sign::Added, place, ""),
        }
        if known.as_ref() != Some(&entry.email) {
            self.changes.contacts.push((controller, entry.slug, entry.email));
        }
    }

    fn binding(&mut self, entry: BindingEntry) {
        let Some(place) = self.enter(format!("binding {} {}", entry.channel, entry.account), &entry.at) else {
            return;
        };
        let Some(controller) = self.owner(&entry.controller, &place) else {
            return;
        };
        let known = self
            .context
            .directory
            .binding_of(entry.channel, &entry.account)
            .cloned();
        let id = known
            .as_ref()
            .map_or_else(|| self.fresh(BindingId::new), |known| known.id);
        let binding = check::binding(entry, id, controller);
        if let Err(fault) = check::account(&binding) {
            return self.fault(place, fault);
        }
        match &known {
            Some(known) if *known == binding => return,
            Some(known) => self.say_changed(place, known, &binding, false),
            None => self.say(Sign::Added, place, ""),
        }
        self.changes.bindings.push(binding);
    }

    fn system(&mut self, entry: SystemEntry) {
        let Some(place) = self.enter(format!("system {}/{}", entry.controller, entry.slug), &entry.at) else {
            return;
        };
        let Some(controller) = self.owner(&entry.controller, &place) else {
            return;
        };
        let known = self.known_system(controller, &entry.slug);
        let id = known
            .as_ref()
            .map_or_else(|| self.fresh(SystemId::new), |known| known.id);
        let (system, secrets) = check::system(entry, id, controller);
        let lawful = check::reach(&system)
            .and_then(|()| check::secrets(&secrets))
            .and_then(|()| self.not_replaced(id.uuid(), &secrets));
        if let Err(fault) = lawful {
            return self.fault(place, fault);
        }
        let secrets = self.secrets_to_store(&system, secrets, known.is_none());
        match &known {
            Some(known) if *known == system && secrets.is_empty() => return,
            Some(known) => self.say_changed(place, known, &system, !secrets.is_empty()),
            None => self.say(Sign::Added, place, ""),
        }
        self.changes.systems.push((system, secrets));
    }

    /// A new endpoint always has a secret: what the file doesn't give is made.
    fn secrets_to_store(&self, system: &System, given: Vec<Secret>, new: bool) -> Vec<Secret> {
        let signs = matches!(system.kind, ConnectorKind::Webhook | ConnectorKind::Notices);
        match given.is_empty() {
            true if new && signs => vec![webhook::generate_shared(self.context.rng)],
            true => vec![],
            false if self.same_secrets(system.id.uuid(), &given) => vec![],
            false => given,
        }
    }

    fn instruction(&mut self, entry: InstructionEntry) {
        let Some(place) = self.enter(format!("instruction of {}", entry.controller), &entry.at) else {
            return;
        };
        let Some(controller) = self.owner(&entry.controller, &place) else {
            return;
        };
        let regime = self.known.get(&entry.controller).map(|known| known.regime.clone());
        if entry.mode == InstructionMode::DeclineWithNotice && regime.as_deref() != Some("ccpa") {
            return self.fault(
                place,
                "`decline_with_notice` is a service provider's answer under `ccpa` only",
            );
        }
        let known = self.context.directory.latest_instruction(controller);
        let same = |known: &Instruction| {
            known.mode == entry.mode && known.rights == entry.rights && known.approver == entry.approver
        };
        if known.is_some_and(same) {
            return;
        }
        match known {
            Some(known) => self.say(Sign::Changed, place, format!("{} → {}", known.mode, entry.mode)),
            None => self.say(Sign::Added, place, entry.mode.to_string()),
        }
        let version = known.map_or(0, |known| known.version) + 1;
        let (mode, rights, approver) = (entry.mode, entry.rights, entry.approver);
        self.instruct(Instruction {
            id: self.fresh(InstructionId::new),
            controller,
            version,
            mode,
            rights,
            approver,
        });
    }

    fn instruct(&mut self, instruction: Instruction) {
        self.changes.instructions.push(instruction);
    }

    /// Every controller has an instruction from its first day: without one of its own it is only told.
    fn finish(mut self) -> Result<Changes, Vec<Fault>> {
        let instructed = |changes: &Changes, id| changes.instructions.iter().any(|one| one.controller == id);
        let lacking: Vec<ControllerId> = self
            .changes
            .controllers
            .iter()
            .map(|(controller, _)| controller.id)
            .filter(|id| self.context.directory.latest_instruction(*id).is_none() && !instructed(&self.changes, *id))
            .collect();
        for controller in lacking {
            let id = self.fresh(InstructionId::new);
            let mode = InstructionMode::ForwardOnly;
            let approver = "default of the processing contract".to_owned();
            self.instruct(Instruction {
                id,
                controller,
                version: 1,
                mode,
                rights: vec![],
                approver,
            });
        }
        if self.faults.is_empty() {
            Ok(self.changes)
        } else {
            Err(self.faults)
        }
    }

    fn known_system(&self, controller: ControllerId, slug: &str) -> Option<System> {
        let systems = self.context.directory.systems_of(controller);
        systems.into_iter().find(|system| system.slug == slug).cloned()
    }

    fn same_secrets(&self, owner: Uuid, given: &[Secret]) -> bool {
        let stored = (self.context.stored_secrets)(owner).unwrap_or_default();
        let current = stored.iter().filter(|kept| kept.until.is_none());
        current.map(|kept| &kept.secret).eq(given)
    }

    /// A file from before a rotation must not bring back what was replaced, perhaps because somebody else knows it.
    fn not_replaced(&self, owner: Uuid, given: &[Secret]) -> Result<(), String> {
        let stored = (self.context.stored_secrets)(owner).unwrap_or_default();
        let mut replaced = stored.iter().filter(|kept| kept.until.is_some());
        if replaced.any(|kept| given.contains(&kept.secret)) {
            return Err(
                "a secret in this file was replaced by `quittance keys rotate`; put the new one here, or none"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn owner(&mut self, slug: &str, place: &str) -> Option<ControllerId> {
        let id = self.known.get(slug).map(|controller| controller.id);
        if id.is_none() {
            self.fault(place.to_owned(), format!("no controller has the slug `{slug}`"));
        }
        id
    }

    fn fresh<T>(&self, make: impl Fn(Timestamp, [u8; 10]) -> T) -> T {
        make(self.context.now, chance::bytes(self.context.rng))
    }

    /// Begins with an entry: what is said of it from here on is said of its place. One thing stands in a file once.
    fn enter(&mut self, place: String, at: &At) -> Option<String> {
        self.at = at.clone();
        if self.named.insert(place.clone()) {
            return Some(place);
        }
        self.fault(place, "it stands here twice; keep one of the two");
        None
    }

    /// There is one operator; a second one would take over what is matched to nobody.
    fn only_operator(&self, controller: &Controller) -> Result<(), String> {
        let other = self
            .known
            .values()
            .find(|known| known.operator && known.id != controller.id);
        match other {
            Some(other) if controller.operator => Err(format!("`operator` is taken: {} is the operator", other.slug)),
            _ => Ok(()),
        }
    }

    fn say(&mut self, sign: Sign, what: String, detail: impl Into<String>) {
        let detail = detail.into();
        self.changes.lines.push(Line { sign, what, detail });
    }

    fn say_changed<T: Serialize>(&mut self, what: String, known: &T, wanted: &T, secrets: bool) {
        let mut differences = line::differences(known, wanted);
        differences.extend(secrets.then(|| "secrets".to_owned()));
        self.say(Sign::Changed, what, differences.join(", "));
    }

    fn fault(&mut self, place: String, fault: impl Into<String>) {
        self.faults.push(Fault {
            at: self.at.clone(),
            place,
            fault: fault.into(),
        });
    }
}

impl Changes {
    /// Whether the file says only what the registry holds already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Whether the registry could hold a system of this kind of identity.
fn known_kind(kind: &str) -> bool {
    kind.parse::<IdentityKind>().is_ok()
}

#[cfg(test)]
mod tests;
