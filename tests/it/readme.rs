//! README says what the code does: its stage diagram is checked against the variants and their steps.

use std::collections::BTreeSet;
use std::path::Path;

use domain::request::{Event, Gate, Stage, StageName};

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    std::fs::read_to_string(path).unwrap()
}

/// The arrows of the Mermaid diagram, without the begin and the end.
fn arrows(readme: &str) -> BTreeSet<(String, String)> {
    let diagram = readme.split("```mermaid").nth(1).unwrap().split("```").next().unwrap();
    let arrow = |line: &str| {
        let (from, rest) = line.trim().split_once(" --> ")?;
        let to = rest.split(':').next()?.trim();
        (from != "[*]" && to != "[*]").then(|| (from.to_owned(), to.to_owned()))
    };
    diagram.lines().filter_map(arrow).collect()
}

#[test]
fn the_diagram_names_every_stage_and_no_other() {
    let drawn: BTreeSet<String> = arrows(&readme())
        .into_iter()
        .flat_map(|(from, to)| [from, to])
        .collect();
    let known: BTreeSet<String> = StageName::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(drawn, known);
}

#[test]
fn the_diagram_draws_the_steps_that_waiting_stages_take() {
    let drawn = arrows(&readme());
    let waiting = [
        Stage::Accepted,
        Stage::Unmatched,
        Stage::Unverified,
        Stage::AwaitingController,
        Stage::Ready,
    ];
    let gates = [Gate::Unmatched, Gate::Unverified, Gate::AwaitingController, Gate::Open];
    for stage in waiting {
        let events = gates.into_iter().map(Event::Assessed).chain([Event::Withdrawn]);
        let reached = events.filter_map(|event| stage.clone().step(event).ok());
        let mut expected: BTreeSet<String> = reached.map(|(next, _)| next.name().to_string()).collect();
        if stage == Stage::Ready {
            expected.insert(StageName::Planned.to_string());
        }
        let from = stage.name().to_string();
        let actual = drawn
            .iter()
            .filter(|(source, _)| *source == from)
            .map(|(_, to)| to.clone())
            .collect();
        assert_eq!(expected, actual, "from {from}");
    }
}
