//! The rules of the house that the compiler does not hold.
//!
//! `edges` holds which of our crates may use which, and which outside package has which one home; `compiled` holds
//! `deny.toml` against what is really compiled; `sources` reads every Rust file for what must not stand in it and for
//! its size; `words` reads every committed file. Each checker is a function over plain data, and is itself tested on
//! something that breaks its rule: a rule that cannot fail holds nothing.

mod compiled;
mod edges;
mod sources;
mod words;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cargo_metadata::{Metadata, MetadataCommand};

/// The platform that the product is built for; what the lock file holds for others is never compiled.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    let options = [
        "--locked".to_owned(),
        "--filter-platform".to_owned(),
        PLATFORM.to_owned(),
    ];
    MetadataCommand::new()
        .current_dir(root())
        .other_options(options)
        .exec()
        .expect("cargo describes the workspace")
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in a folder of the workspace")
}

/// Every file that is, or would be, committed, by its path from the root.
fn committed() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(
        listed.status.success(),
        "git: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let names = String::from_utf8(listed.stdout).expect("our files have names in UTF-8");
    names
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(|file| root().join(file).is_file())
        .collect()
}

/// Fails with every broken rule at once, so that one run is enough to mend them.
fn none(broken: &[String]) {
    assert!(broken.is_empty(), "\n  {}\n", broken.join("\n  "));
}
