//! Words that no committed file may hold: places that exist on one machine alone, and hosts that a build must find by
//! its own configuration.

use std::path::{Path, PathBuf};

use super::{committed, none, root};

/// Each in two pieces, so that this file holds none of them.
const WORDS: [(&str, &str); 10] = [
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/Us", "ers/"),
    ("crates", ".io"),
    ("pypi", ".org"),
    ("npmjs", "."),
    ("repo.maven", "."),
    ("proxy", ".golang."),
    ("deb", ".debian."),
];

/// Tools write these, with the hosts in them.
const WRITTEN_BY_TOOLS: [&str; 3] = ["Cargo.lock", "go.sum", "package-lock.json"];

fn found(text: &str) -> impl Iterator<Item = (usize, String)> {
    let words = || WORDS.iter().map(|(start, end)| format!("{start}{end}"));
    let in_line =
        move |(index, line): (usize, &str)| words().find(|word| line.contains(word)).map(|word| (index + 1, word));
    text.lines().enumerate().filter_map(in_line)
}

fn by_hand(file: &Path) -> bool {
    file.file_name()
        .is_none_or(|name| WRITTEN_BY_TOOLS.iter().all(|tool| name != *tool))
}

/// Files that are no text hold no words.
fn broken(file: &PathBuf) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    found(&text)
        .map(|(line, word)| format!("{}:{line}: {word}", file.display()))
        .collect()
}

#[test]
fn no_file_names_a_machines_folder_or_a_registrys_host() {
    let files = committed();
    assert!(
        files.iter().any(|file| file == Path::new("Cargo.toml")),
        "git listed {} files",
        files.len()
    );
    none(
        &files
            .iter()
            .filter(|file| by_hand(file))
            .flat_map(broken)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn such_a_word_is_found_where_it_stands() {
    let text = format!("fine\nread {}{}x\n", WORDS[0].0, WORDS[0].1);
    assert_eq!(found(&text).map(|(line, _)| line).collect::<Vec<_>>(), [2]);
    assert_eq!(found("a homework of the root").count(), 0);
}
