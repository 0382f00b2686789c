//! Every problem that a service answers has a page, under its own name, and no page is without a problem.

use std::collections::BTreeMap;
use std::path::Path;

use platform::problem::Problem;

#[test]
fn every_problem_has_one_page_and_every_page_a_problem() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/problems");
    let pages: BTreeMap<String, String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    let problems: Vec<&Problem> = [
        platform::problem::ALL,
        intake::PROBLEMS,
        dispatch::PROBLEMS,
        ledger::PROBLEMS,
    ]
    .into_iter()
    .flatten()
    .collect();
    for problem in &problems {
        let page = pages
            .get(problem.name)
            .unwrap_or_else(|| panic!("{} has no page", problem.name));
        let head = format!(
            "# {}\n\n`/problems/{}` · {}\n",
            problem.title,
            problem.name,
            problem.status.as_u16()
        );
        assert!(page.starts_with(&head), "{} begins with {head}", problem.name);
    }
    assert_eq!(problems.len(), pages.len(), "a name stands for one problem");
}
