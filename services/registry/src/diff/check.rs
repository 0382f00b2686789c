//! From an entry of a file to a registration, and what must be true of it.

use domain::id::{BindingId, ControllerId, SystemId};
use domain::registration::{Binding, ConnectorKind, Controller, System};
use evidence::entry::Word;
use evidence::jwk::Jwk;
use platform::secret::Secret;
use platform::webhook::SigningKey;

use crate::file::{BindingEntry, ControllerEntry, SystemEntry};

pub(super) fn controller(entry: ControllerEntry, id: ControllerId) -> (Controller, Vec<Secret>) {
    let controller = Controller {
        id,
        slug: entry.slug,
        name: entry.name,
        aliases: entry.aliases,
        regime: entry.regime,
        zone: entry.zone,
        country: entry.country,
        days: entry.days,
        contract: entry.contract,
        issuer: entry.issuer,
        assurance: entry.assurance.into_iter().collect(),
        operator: entry.operator,
    };
    (controller, entry.signing_keys)
}

pub(super) fn binding(entry: BindingEntry, id: BindingId, controller: ControllerId) -> Binding {
    Binding {
        id,
        controller,
        product: entry.product,
        channel: entry.channel,
        account: entry.account,
        scope: entry.scope,
    }
}

pub(super) fn system(entry: SystemEntry, id: SystemId, controller: ControllerId) -> (System, Vec<Secret>) {
    let system = System {
        id,
        controller,
        slug: entry.slug,
        kind: entry.kind,
        url: entry.url,
        owner: entry.owner,
        products: entry.products,
        rights: entry.rights,
        channels: entry.channels,
        identity_kinds: entry.identity_kinds,
        wants_description: entry.wants_description,
        demand: entry.demand,
        concurrency: entry.concurrency,
        rate_per_second: entry.rate_per_second,
        issuer: entry.issuer,
    };
    (system, entry.secrets)
}

/// Slugs stand in addresses and entries, so they are words for machines.
pub(super) fn terms(controller: &Controller) -> Result<(), String> {
    slug(&controller.slug)?;
    if controller.issuer.is_empty() || controller.issuer.len() > 256 {
        return Err("`issuer` is 1 to 256 characters".to_owned());
    }
    let named = |name: &String| (1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if !std::iter::once(&controller.name).chain(&controller.aliases).all(named) {
        return Err("`name` and `aliases` are 1 to 200 characters without control characters".to_owned());
    }
    controller.terms().map(drop).map_err(|error| error.to_string())
}

/// An account is what its channel calls it: a number, a page, an address.
pub(super) fn account(binding: &Binding) -> Result<(), String> {
    product(&binding.product)?;
    if (1..=254).contains(&binding.account.len()) && binding.account.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("`account` is 1 to 254 letters, digits and signs, as the channel writes it".to_owned())
    }
}

pub(super) fn reach(system: &System) -> Result<(), String> {
    slug(&system.slug)?;
    system.products.iter().try_for_each(|one| product(one))?;
    if !(1..=1000).contains(&system.concurrency) {
        return Err("`concurrency` is 1 to 1000".to_owned());
    }
    if system.rate_per_second.is_some_and(|rate| !(1..=10_000).contains(&rate)) {
        return Err("`rate_per_second` is 1 to 10000".to_owned());
    }
    if let Some(kind) = system.identity_kinds.iter().find(|kind| !super::known_kind(kind)) {
        return Err(format!("`{kind}` is not an identity kind"));
    }
    match (system.kind, &system.url) {
        (ConnectorKind::Webhook | ConnectorKind::Notices, None) => Err("a webhook needs a `url`".to_owned()),
        (ConnectorKind::Webhook | ConnectorKind::Notices, Some(url)) if !is_http(url) => {
            Err("`url` is an https address (http only where egress allows it)".to_owned())
        }
        _ => Ok(()),
    }
}

pub(super) fn secrets(secrets: &[Secret]) -> Result<(), String> {
    let shared = |secret: &Secret| secret.expose().starts_with("whsec_") && SigningKey::parse(secret).is_ok();
    all(
        secrets,
        shared,
        "`secrets` are `whsec_` and the base64 of 24 to 64 bytes",
    )
}

pub(super) fn signing_keys(keys: &[Secret]) -> Result<(), String> {
    let pair = |key: &Secret| key.expose().starts_with("whsk_") && SigningKey::parse(key).is_ok();
    all(
        keys,
        pair,
        "`signing_keys` are `whsk_` and the base64 of an Ed25519 pair",
    )
}

pub(super) fn jwk(table: &toml::Table) -> Result<Jwk, String> {
    let json = serde_json::to_string(table).map_err(|_| "`jwk` is a table of texts".to_owned())?;
    Jwk::parse(&json).map_err(|error| error.to_string())
}

fn all(secrets: &[Secret], holds: impl Fn(&Secret) -> bool, rule: &str) -> Result<(), String> {
    if secrets.iter().all(holds) {
        Ok(())
    } else {
        Err(rule.to_owned())
    }
}

fn slug(slug: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=60).contains(&slug.len()) && slug.bytes().all(legal) && slug.as_bytes()[0].is_ascii_lowercase() {
        Ok(())
    } else {
        Err("a slug is 1 to 60 of a–z, 0–9 and -, and starts with a letter".to_owned())
    }
}

/// Products stand in entries.
fn product(product: &str) -> Result<(), String> {
    let word = product.parse::<Word>().map(drop);
    word.map_err(|_| format!("`{product}` is no product: a word of letters, digits and - was expected"))
}

/// The address itself is judged when it is used: what it resolves to can change.
fn is_http(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
        && url.len() <= 2048
        && url.bytes().all(|byte| byte.is_ascii_graphic())
}
