//! From a channel's messages to requests.
//!
//! A message that asks for several rights makes one request for each; a repeat is known by the account, the channel's
//! name of the message, and the right. A notification's requests are brought together and share their commits.

use domain::assurance::{Assurance, AssuranceLevel};
use domain::new_request::{DESCRIPTION_LENGTH_MAX, Details, Door, Facts, NewRequest, Requester, Target};
use domain::person::{Identity, IdentityKind, Personal, Proof, Relation, Subject};
use domain::registration::{Binding, BindingScope};
use domain::right::{Channel, Right};
use evidence::digest::sha256;
use futures_util::stream::{self, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use platform::keyring::DedupeKey;
use store::registry::Directory;
use store::scope::Scope;
use tracing::warn;

use super::split::{Message, Sender, Skipped, Split};
use crate::accept::{NotAccepted, Origin};
use crate::doors::Doors;
use crate::figures::{IGNORED, UNKNOWN_ACCOUNTS};
use crate::refusal::Refusal;

/// No platform repeats for longer than a week. A stamp from before this is a broken clock, and then the earliest
/// instant that can be true starts ours: doubts are settled in the person's favour.
const OLDEST: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Of one notification's requests, so many wait at a time: enough for full batches, and never the whole queue, so that
/// a huge notification that is repeated for ever can't keep itself from ending.
const AT_ONCE: usize = 256;

/// As long as a name gets; what is longer is no name.
const NAME_LENGTH_MAX: usize = 200;

/// A right that a message asks for, through a binding.
struct Asked<'m> {
    message: &'m Message,
    binding: &'m Binding,
    right: Right,
    language: Option<String>,
}

/// Makes requests of a notification's messages and counts the rest. `body` is what was signed. After an error some of
/// them may be stored; the repeat finds them.
pub(super) async fn take(doors: &Doors, split: &Split, body: &[u8], scope: &Scope) -> Result<(), Refusal> {
    let directory = doors
        .directory_with(|directory| split.messages.iter().all(|one| knows(directory, one)))
        .await?;
    let now = doors.now();
    let evidence = sha256(body);
    let mut skipped = split.skipped.clone();
    let mut asked = vec![];
    for message in &split.messages {
        match read(doors, &directory, message, scope) {
            Ok(rights) => asked.extend(rights),
            Err(reason) => skipped.push(reason),
        }
    }
    let accepting = asked.iter().map(async |asked| {
        let request = asked.request(evidence, now);
        doors.accept(&directory, &request, asked.origin(&doors.dedupe)).await
    });
    let mut outcomes = stream::iter(accepting).buffered(AT_ONCE);
    while let Some(outcome) = outcomes.next().await {
        if let Err(refusal) = outcome {
            skipped.push(forgettable(refusal)?);
        }
    }
    count(split.channel, &skipped);
    Ok(())
}

fn knows(directory: &Directory, message: &Message) -> bool {
    directory.binding_of(message.channel, &message.account).is_some()
}

/// The rights that a message asks for; at least one.
fn read<'m>(
    doors: &Doors,
    directory: &'m Directory,
    message: &'m Message,
    scope: &Scope,
) -> Result<Vec<Asked<'m>>, Skipped> {
    let Some(binding) = directory.binding_of(message.channel, &message.account) else {
        // The account is the business's, not the person's: it may be named.
        warn!(channel = %message.channel, account = message.account, "a signed message for an account without a binding");
        UNKNOWN_ACCOUNTS.add(1, &[("channel", message.channel.as_str())]);
        return Err(Skipped::UnknownAccount);
    };
    if !scope.controllers.includes(&binding.controller) {
        return Err(Skipped::OutOfScope);
    }
    let asked: Vec<_> = doors
        .phrases
        .rights_of(message.text.expose())
        .into_iter()
        .map(|found| Asked {
            message,
            binding,
            right: found.right,
            language: (found.language != "und").then(|| found.language.to_owned()),
        })
        .collect();
    if asked.is_empty() {
        Err(Skipped::NotARequest)
    } else {
        Ok(asked)
    }
}

/// What the platform may forget, because it would fail the same way for ever.
fn forgettable(refusal: Refusal) -> Result<Skipped, Refusal> {
    match refusal {
        Refusal::NotAccepted(NotAccepted::Unstorable | NotAccepted::AnotherBody | NotAccepted::Forgotten) => {
            Ok(Skipped::Unstorable)
        }
        Refusal::Invalid(_) => Ok(Skipped::NoTerm),
        other => Err(other),
    }
}

fn count(channel: Channel, skipped: &[Skipped]) {
    for reason in skipped {
        IGNORED.add(1, &[("channel", channel.as_str()), ("reason", reason.as_str())]);
    }
}

impl Asked<'_> {
    fn request(&self, evidence: [u8; 32], now: Timestamp) -> NewRequest {
        let message = self.message;
        NewRequest {
            facts: Facts {
                right: self.right,
                target: match self.binding.scope {
                    BindingScope::Own => Target::Certain(self.binding.controller),
                    BindingScope::Shared => Target::ToBeMatched,
                },
                product: Some(self.binding.product.clone()),
                channel: message.channel,
                binding: Some(self.binding.id),
                door: door(message.channel),
                assurance: Assurance {
                    level: AssuranceLevel::ChannelControl,
                    at: now,
                    evidence: Some(evidence),
                },
                jurisdiction: None,
                locale: self.language.clone().or_else(|| message.sender.language.clone()),
                received_at: message.at.map_or(now, |at| at.clamp(now - OLDEST, now)),
            },
            details: details(message),
        }
    }

    /// Of the text, because the same message comes again in another batch, signed anew.
    fn origin(&self, dedupe: &DedupeKey) -> Origin {
        let scope = format!("{}:{}:{}", self.message.channel, self.binding.id, self.right);
        Origin {
            digest: dedupe.digest(&scope, self.message.id.expose().as_bytes()),
            body_digest: dedupe.digest("body", self.message.text.expose().as_bytes()),
        }
    }
}

fn details(message: &Message) -> Details {
    Details {
        subject: subject(&message.sender),
        requester: Requester {
            relation: Relation::Myself,
            authority: None,
        },
        business: None,
        interaction: None,
        description: Some(shortened(&message.text, DESCRIPTION_LENGTH_MAX)),
    }
}

/// What the platform shows of a person that can't be an identity (an account id that is no telephone number) is left
/// out; the others stand.
fn subject(sender: &Sender) -> Subject {
    let identity = |(kind, value): &(_, Personal)| {
        Identity::parse(IdentityKind::Known(*kind), value.expose(), Proof::Verified).ok()
    };
    Subject {
        name: sender.name.as_ref().map(|name| shortened(name, NAME_LENGTH_MAX)),
        kind: None,
        identities: sender.identities.iter().filter_map(identity).collect(),
    }
}

fn shortened(text: &Personal, length_max: usize) -> Personal {
    Personal::new(text.expose().chars().take(length_max).collect::<String>())
}

fn door(channel: Channel) -> Door {
    match channel {
        Channel::Whatsapp => Door::Whatsapp,
        Channel::Messenger => Door::Messenger,
        Channel::Instagram => Door::Instagram,
        Channel::Telegram => Door::Telegram,
        Channel::Web | Channel::Email | Channel::Api | Channel::Other => Door::Rest,
    }
}
