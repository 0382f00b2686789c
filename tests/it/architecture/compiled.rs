//! `deny.toml` against what is really compiled.
//!
//! `cargo deny` is the fuller check, but is not everywhere. `cargo tree` tells what the resolver compiles for our
//! platform: the lock file alone would name packages of other systems (`ring` is one).

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::process::Command;
use std::str::SplitWhitespace;

use serde::Deserialize;

use super::{METADATA, PLATFORM, none, root};

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

/// `package` may not be there, but for its direct users among `wrappers`.
#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    package: String,
    #[serde(default)]
    wrappers: BTreeSet<String>,
    reason: String,
}

fn deny() -> Deny {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml is there");
    toml::from_str(&text).expect("deny.toml has the tables that are read here")
}

/// Everything that is compiled for us, tests included: name to licence.
fn compiled() -> BTreeMap<String, String> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--workspace",
            "--target",
            PLATFORM,
            "--edges",
            "normal,build,dev",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        tree.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let text = String::from_utf8(tree.stdout).expect("cargo prints UTF-8");
    let packages = text.lines().filter_map(|line| line.split_once('|'));
    packages
        .map(|(package, licence)| (first_word(package), licence.trim_end_matches(SEEN).to_owned()))
        .collect()
}

/// How cargo marks a package whose own dependencies it has printed before.
const SEEN: &str = " (*)";

fn first_word(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

impl Licenses {
    fn refused(&self, compiled: &BTreeMap<String, String>) -> Vec<String> {
        let refused = compiled
            .iter()
            .filter(|(package, licence)| !self.allows(package, licence));
        refused
            .map(|(package, licence)| format!("{package} is under {licence:?}, which deny.toml does not allow"))
            .collect()
    }

    fn allows(&self, package: &str, licence: &str) -> bool {
        let exceptional = |id: &str| {
            self.exceptions
                .iter()
                .any(|e| e.package == package && e.allow.contains(id))
        };
        holds(licence, &|id| self.allow.contains(id) || exceptional(id))
    }
}

/// Whether an SPDX expression can be satisfied with licences that are `allowed`. `/` is how `OR` was written once.
fn holds(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut terms = Terms {
        words: spaced.split_whitespace().peekable(),
        allowed,
    };
    terms.any() && terms.words.next().is_none()
}

/// What is left of an expression. Each method reads a part of it and says whether that part can be satisfied.
struct Terms<'a> {
    words: Peekable<SplitWhitespace<'a>>,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl Terms<'_> {
    fn any(&mut self) -> bool {
        let mut satisfied = self.every();
        while self.words.next_if_eq(&"OR").is_some() {
            satisfied |= self.every();
        }
        satisfied
    }

    fn every(&mut self) -> bool {
        let mut satisfied = self.one();
        while self.words.next_if_eq(&"AND").is_some() {
            satisfied &= self.one();
        }
        satisfied
    }

    fn one(&mut self) -> bool {
        if self.words.next_if_eq(&"(").is_some() {
            let satisfied = self.any();
            return self.words.next_if_eq(&")").is_some() && satisfied;
        }
        let Some(licence) = self.words.next() else { return false };
        if self.words.next_if_eq(&"WITH").is_none() {
            return (self.allowed)(licence);
        }
        let exception = self.words.next().unwrap_or_default();
        (self.allowed)(&format!("{licence} WITH {exception}"))
    }
}

impl Bans {
    /// A package whose ban has no wrappers may not be compiled at all.
    fn compiled(&self, compiled: &BTreeMap<String, String>) -> Vec<String> {
        let outright = self.deny.iter().filter(|ban| ban.wrappers.is_empty());
        let there = outright.filter(|ban| compiled.contains_key(&ban.package));
        there
            .map(|ban| format!("{} is compiled: {}", ban.package, ban.reason))
            .collect()
    }

    /// One that has wrappers may be named by those alone, among our crates.
    fn named_by_others(&self, named: &[(String, String)]) -> Vec<String> {
        let by_other = |ban: &&Ban, by: &str, package: &str| ban.package == package && !ban.wrappers.contains(by);
        let ban_of = |(by, package): &(String, String)| self.deny.iter().find(|ban| by_other(ban, by, package));
        let broken = named.iter().filter_map(|edge| Some((edge, ban_of(edge)?)));
        broken
            .map(|((by, package), ban)| format!("{by} names {package}: {}", ban.reason))
            .collect()
    }
}

fn named() -> Vec<(String, String)> {
    let mut named = Vec::new();
    for package in METADATA.workspace_packages() {
        named.extend(
            package
                .dependencies
                .iter()
                .map(|used| (package.name.to_string(), used.name.clone())),
        );
    }
    named
}

#[test]
fn every_licence_is_allowed() {
    let compiled = compiled();
    assert!(compiled.len() > 100, "cargo tree printed {} packages", compiled.len());
    none(&deny().licenses.refused(&compiled));
}

#[test]
fn nothing_banned_is_compiled() {
    none(&deny().bans.compiled(&compiled()));
    none(&deny().bans.named_by_others(&named()));
}

#[test]
fn licence_expressions_are_read() {
    let allowed = |id: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&id);
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "GPL-3.0/MIT",
        "ISC AND (GPL-3.0 OR MIT)",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(holds(good, &allowed), "{good}");
    }
    for bad in [
        "GPL-3.0",
        "",
        "MIT AND GPL-3.0",
        "ISC AND (GPL-3.0 OR MPL-2.0)",
        "Apache-2.0",
        "(MIT",
        "MIT MIT",
    ] {
        assert!(!holds(bad, &allowed), "{bad}");
    }
}

#[test]
fn a_refused_licence_and_a_banned_package_are_found() {
    let Deny { licenses, bans } = deny();
    let package = |name: &str, licence: &str| BTreeMap::from([(name.to_owned(), licence.to_owned())]);
    assert_eq!(licenses.refused(&package("copyleft", "GPL-3.0-only")).len(), 1);
    assert_eq!(
        licenses.refused(&package("other-data", "CDLA-Permissive-2.0")).len(),
        1,
        "an exception is for one package"
    );
    none(&licenses.refused(&package("webpki-roots", "CDLA-Permissive-2.0")));
    assert_eq!(bans.compiled(&package("ring", "MIT")).len(), 1);
    assert_eq!(
        bans.named_by_others(&[("intake".to_owned(), "rdkafka".to_owned())])
            .len(),
        1
    );
}
