//! Which way things may point. Services never depend on each other; what two of them need goes down, not across.

use std::path::Path;

use super::{METADATA, none, root};

/// Of our crates, each with those that it may use.
const MAY_USE: [(&str, &[&str]); 13] = [
    ("domain", &[]),
    ("platform", &[]),
    ("evidence", &["domain"]),
    ("proto", &["domain"]),
    ("keys", &["domain", "platform"]),
    ("store", &["domain", "platform"]),
    (
        "registry",
        &["domain", "evidence", "proto", "store", "keys", "platform"],
    ),
    ("connectors", &["domain", "evidence", "platform"]),
    ("sandbox", &["domain", "evidence", "platform"]),
    ("intake", &["domain", "evidence", "proto", "store", "keys", "platform"]),
    (
        "dispatch",
        &["domain", "evidence", "proto", "store", "keys", "platform", "connectors"],
    ),
    ("ledger", &["domain", "evidence", "proto", "keys", "platform"]),
    (
        "console",
        &["domain", "evidence", "proto", "store", "keys", "registry", "platform"],
    ),
];

/// These put everything together.
const MAY_USE_ALL: [&str; 2] = ["quittance", "tests"];

/// Of outside packages, each with the crates that may know it; `tests` may know any. A trailing `*` stands for the rest
/// of a name.
const HOMES: [(&str, &[&str]); 9] = [
    ("rdkafka", &["platform"]),
    ("opentelemetry*", &["platform"]),
    ("reqwest", &["platform"]),
    ("jsonwebtoken", &["evidence"]),
    ("tlog_tiles", &["evidence"]),
    ("signed_note", &["evidence"]),
    ("sqlx", &["platform", "keys", "store", "ledger"]),
    ("prost", &["proto"]),
    (
        "actix-web",
        &["platform", "intake", "dispatch", "ledger", "console", "sandbox"],
    ),
];

/// `from` names `to` in its manifest, for whatever purpose.
struct Edge {
    from: String,
    to: String,
}

fn edges() -> Vec<Edge> {
    let packages = METADATA.workspace_packages();
    let of = |package: &&cargo_metadata::Package| {
        let from = package.name.to_string();
        package
            .dependencies
            .iter()
            .map(move |to| Edge {
                from: from.clone(),
                to: to.name.clone(),
            })
            .collect::<Vec<_>>()
    };
    packages.iter().flat_map(of).collect()
}

fn ours() -> Vec<String> {
    METADATA
        .workspace_packages()
        .iter()
        .map(|package| package.name.to_string())
        .collect()
}

fn across(edges: &[Edge], ours: &[String]) -> Vec<String> {
    let inside = edges.iter().filter(|edge| ours.contains(&edge.to));
    inside
        .filter(|edge| !may_use(edge))
        .map(|Edge { from, to }| format!("{from} may not use {to}"))
        .collect()
}

fn may_use(Edge { from, to }: &Edge) -> bool {
    MAY_USE_ALL.contains(&from.as_str())
        || MAY_USE
            .iter()
            .any(|(name, allowed)| name == from && allowed.contains(&to.as_str()))
}

fn away_from_home(edges: &[Edge]) -> Vec<String> {
    let mut broken = Vec::new();
    for (package, homes) in &HOMES {
        let known = edges.iter().filter(|edge| matches(package, &edge.to));
        let elsewhere = known.filter(|edge| edge.from != "tests" && !homes.contains(&edge.from.as_str()));
        broken.extend(elsewhere.map(|Edge { from, to }| format!("{to} has its home in {homes:?}, not in {from}")));
    }
    broken
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(name == pattern, |start| name.starts_with(start))
}

#[test]
fn our_crates_use_only_what_the_table_allows() {
    none(&across(&edges(), &ours()));
}

#[test]
fn outside_packages_stay_at_home() {
    none(&away_from_home(&edges()));
}

#[test]
fn an_edge_across_or_up_is_found() {
    let ours = ours();
    let edge = |from: &str, to: &str| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
    };
    assert_eq!(
        across(&[edge("intake", "ledger")], &ours),
        ["intake may not use ledger"]
    );
    assert_eq!(
        across(&[edge("domain", "platform")], &ours),
        ["domain may not use platform"]
    );
    assert_eq!(
        across(&[edge("newcomer", "domain")], &ours),
        ["newcomer may not use domain"]
    );
    none(&across(
        &[
            edge("intake", "store"),
            edge("tests", "ledger"),
            edge("intake", "serde"),
        ],
        &ours,
    ));
}

#[test]
fn a_package_away_from_home_is_found() {
    let edge = |from: &str, to: &str| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
    };
    let broken = away_from_home(&[edge("intake", "rdkafka"), edge("dispatch", "opentelemetry-otlp")]);
    assert_eq!(broken.len(), 2, "{broken:?}");
    none(&away_from_home(&[
        edge("platform", "rdkafka"),
        edge("tests", "reqwest"),
        edge("platform", "opentelemetry_sdk"),
    ]));
}

#[test]
fn a_crate_is_named_as_its_folder_and_the_root_is_none() {
    let misnamed = |package: &&cargo_metadata::Package| {
        let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
        folder != Some(package.name.as_str())
    };
    let packages = METADATA.workspace_packages();
    none(
        &packages
            .into_iter()
            .filter(misnamed)
            .map(|package| package.manifest_path.to_string())
            .collect::<Vec<_>>(),
    );
    assert!(METADATA.root_package().is_none(), "the root manifest is virtual");
    assert_eq!(METADATA.workspace_root.as_std_path(), Path::new(root()));
}
