//! What must not stand in our Rust sources, and how long things may be.
//!
//! Files are read as syntax, not as text, so that words in comments and strings don't count, and a function's length
//! is what a reader sees: from its signature to its closing brace. Tests are not measured.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ImplItemFn, Item, ItemFn, ItemUse, Signature, TraitItemFn, UseTree, Visibility};

use super::{METADATA, committed, none, root};

/// Half of all functions are shorter than this many lines; good Rust has its median at six to nine.
const MEDIAN: usize = 10;
/// Nine in ten are shorter than this; the trouble of every large code base lies in the rest.
const NINE_IN_TEN: usize = 35;
/// None is longer: two screens.
const LONGEST: usize = 60;
/// A file longer than this, without its tests, is no longer about one thing.
const FILE: usize = 600;

/// What one file is found to hold.
#[derive(Default)]
struct Survey {
    functions: Vec<(usize, String)>,
    allows: Vec<usize>,
    reexports: Vec<String>,
    modules: Vec<String>,
    test_modules: Vec<String>,
    test_lines: usize,
}

impl Survey {
    fn of(text: &str) -> syn::Result<Self> {
        let file = syn::parse_file(text)?;
        let mut survey = Self::default();
        survey.visit_file(&file);
        Ok(survey)
    }

    fn function(&mut self, signature: &Signature, body: &Block) {
        self.functions
            .push((lines(signature.span(), body.span()), signature.ident.to_string()));
    }
}

impl<'ast> Visit<'ast> for Survey {
    fn visit_item(&mut self, item: &'ast Item) {
        if attributes(item).iter().any(is_for_tests) {
            self.test_modules.extend(named_module(item));
            self.test_lines += lines(item.span(), item.span());
            return;
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.modules.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.function(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("allow") {
            self.allows.push(attribute.span().start().line);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if matches!(item.vis, Visibility::Public(_)) {
            self.reexports.extend(first_names(&item.tree));
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => &[],
    }
}

fn named_module(item: &Item) -> Option<String> {
    let Item::Mod(module) = item else { return None };
    Some(module.ident.to_string())
}

fn is_for_tests(attribute: &Attribute) -> bool {
    let condition = || {
        attribute
            .parse_args::<syn::Ident>()
            .is_ok_and(|condition| condition == "test")
    };
    attribute.path().is_ident("test") || attribute.path().is_ident("cfg") && condition()
}

fn lines(from: Span, to: Span) -> usize {
    to.end().line - from.start().line + 1
}

fn first_names(tree: &UseTree) -> Vec<String> {
    match tree {
        UseTree::Path(path) => vec![path.ident.to_string()],
        UseTree::Name(name) => vec![name.ident.to_string()],
        UseTree::Rename(rename) => vec![rename.ident.to_string()],
        UseTree::Glob(_) => Vec::new(),
        UseTree::Group(group) => group.items.iter().flat_map(first_names).collect(),
    }
}

/// Every Rust file, with what it holds.
fn surveys() -> Vec<(PathBuf, Survey)> {
    let files = committed()
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
        .map(|file| {
            let survey = survey(&file);
            (file, survey)
        })
        .collect()
}

fn survey(file: &Path) -> Survey {
    Survey::of(&read(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Only what ships is measured: a test is as long as its story.
fn shipped() -> Vec<(PathBuf, Survey)> {
    let surveys = surveys();
    let tests: Vec<_> = surveys
        .iter()
        .flat_map(|(file, survey)| test_files(file, survey))
        .collect();
    let ships = |file: &Path| !file.iter().any(|part| part == "tests" || part == "examples");
    let of_tests = |file: &Path| tests.iter().any(|test| file.with_extension("").starts_with(test));
    surveys
        .into_iter()
        .filter(|(file, _)| ships(file) && !of_tests(file))
        .collect()
}

/// Where the modules lie, without their extension, that `file` declares for tests alone.
fn test_files(file: &Path, survey: &Survey) -> Vec<PathBuf> {
    let is_root = file
        .file_stem()
        .is_some_and(|stem| stem == "lib" || stem == "main" || stem == "mod");
    let folder = if is_root {
        file.with_file_name("")
    } else {
        file.with_extension("")
    };
    survey.test_modules.iter().map(|name| folder.join(name)).collect()
}

/// Names by which sources know crates that are not the one they belong to.
fn outside_names() -> Vec<String> {
    let named = METADATA.packages.iter().map(|package| package.name.replace('-', "_"));
    named.chain(["std", "core", "alloc"].map(str::to_owned)).collect()
}

fn foreign<'a>(survey: &'a Survey, outside: &'a [String]) -> impl Iterator<Item = &'a String> {
    survey
        .reexports
        .iter()
        .filter(|name| outside.contains(name) && !survey.modules.contains(name))
}

struct Spread {
    median: usize,
    nine_in_ten: usize,
    longest: Vec<(usize, String)>,
}

/// Of `(lines, name)`.
fn spread(mut functions: Vec<(usize, String)>) -> Spread {
    functions.sort();
    let at = |share: usize| functions[(functions.len() * share / 100).min(functions.len() - 1)].0;
    let (median, nine_in_ten) = (at(50), at(90));
    Spread {
        median,
        nine_in_ten,
        longest: functions.into_iter().rev().take(10).collect(),
    }
}

#[test]
fn functions_are_short() {
    let named = |(file, survey): (PathBuf, Survey)| {
        let file = file.display().to_string();
        survey
            .functions
            .into_iter()
            .map(move |(lines, name)| (lines, format!("{file} {name}")))
            .collect::<Vec<_>>()
    };
    let functions: Vec<_> = shipped().into_iter().flat_map(named).collect();
    let count = functions.len();
    let Spread {
        median,
        nine_in_ten,
        longest,
    } = spread(functions);
    eprintln!("{count} functions: median {median} lines, nine in ten up to {nine_in_ten}, the longest {longest:#?}");
    assert!(
        median < MEDIAN && nine_in_ten < NINE_IN_TEN,
        "median {median}, nine in ten up to {nine_in_ten}"
    );
    none(
        &longest
            .into_iter()
            .filter(|(lines, _)| *lines > LONGEST)
            .map(|(lines, name)| format!("{name}: {lines} lines"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn files_are_about_one_thing() {
    let length = |(file, survey): &(PathBuf, Survey)| read(file).lines().count() - survey.test_lines;
    let long = shipped().into_iter().filter(|survey| length(survey) > FILE);
    none(
        &long
            .map(|survey| format!("{} has {} lines", survey.0.display(), length(&survey)))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_lint_is_silenced_for_good() {
    let allowed = |(file, survey): (PathBuf, Survey)| {
        survey
            .allows
            .into_iter()
            .map(move |line| {
                format!(
                    "{}:{line}: allow; expect says when it is not needed any more",
                    file.display()
                )
            })
            .collect::<Vec<_>>()
    };
    none(&surveys().into_iter().flat_map(allowed).collect::<Vec<_>>());
}

#[test]
fn no_crate_passes_on_the_types_of_another() {
    let outside = outside_names();
    let mut broken = Vec::new();
    for (file, survey) in &surveys() {
        broken.extend(foreign(survey, &outside).map(|name| format!("{}: pub use {name}", file.display())));
    }
    none(&broken);
}

#[test]
fn a_survey_sees_what_it_looks_for() {
    let survey = Survey::of(
        "pub use serde::Serialize;\npub use mine::Thing;\npub(crate) use rdkafka::Message;\nmod mine;\n\
         #[allow(dead_code)]\nfn three(\n    x: u8,\n) {}\n\
         impl Thing { fn two() {\n} }\n\
         #[cfg(test)]\nmod tests {\n    fn long() {\n\n\n\n    }\n}\n",
    )
    .unwrap();
    let outside = ["serde".to_owned(), "mine".to_owned(), "rdkafka".to_owned()];
    assert_eq!(foreign(&survey, &outside).collect::<Vec<_>>(), ["serde"]);
    assert_eq!(survey.functions, [(3, "three".to_owned()), (2, "two".to_owned())]);
    assert_eq!(survey.allows, [5]);
    assert_eq!(survey.test_lines, 8);
}

#[test]
fn modules_for_tests_alone_are_found_in_their_files() {
    let survey = Survey::of("#[cfg(test)] mod suite; mod real;").unwrap();
    assert_eq!(test_files(Path::new("bus/mod.rs"), &survey), [Path::new("bus/suite")]);
    assert_eq!(
        test_files(Path::new("src/bus.rs"), &survey),
        [Path::new("src/bus/suite")]
    );
}

#[test]
fn a_spread_counts_from_the_short_end() {
    let functions = (1..=100).map(|lines| (lines, format!("f{lines}"))).collect();
    let Spread {
        median,
        nine_in_ten,
        longest,
    } = spread(functions);
    assert_eq!((median, nine_in_ten), (51, 91));
    assert_eq!(longest[0].0, 100);
}
