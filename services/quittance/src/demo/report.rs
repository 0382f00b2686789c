//! What came of it: the table, and what should have been otherwise.

use std::collections::HashMap;

use store::registry::Directory;

use super::follow::Followed;
use super::script::Scene;
use crate::commands::requests::system;
use crate::output::Output;

/// A row for every task: request → client business → channel → system → outcome → receipt → log index.
pub(super) fn table(requests: &[&Followed], directory: &Directory, output: Output) {
    let rows: Vec<Vec<String>> = requests.iter().flat_map(|one| rows(one, directory)).collect();
    let headings = [
        "request",
        "right",
        "client business",
        "channel",
        "closed as",
        "system",
        "outcome",
        "receipt",
        "log index",
    ];
    output.grouped_table(&headings, &rows, 5);
}

fn rows(one: &Followed, directory: &Directory) -> Vec<Vec<String>> {
    let closed = one
        .shown
        .outcome
        .map_or_else(|| one.shown.stage.to_string(), |outcome| outcome.to_string());
    let rows = one.tasks.iter().map(|task| {
        let receipt = one.receipts.iter().find(|receipt| receipt.task == task.id);
        let index = receipt
            .and_then(|receipt| receipt.logged)
            .map_or_else(String::new, |(index, _)| index.to_string());
        vec![
            one.shown.id.to_string(),
            one.shown.right.to_string(),
            owner(one, directory),
            one.shown.channel.to_string(),
            closed.clone(),
            system(directory, task.system),
            task.answer
                .map_or_else(|| task.stage.to_string(), |answer| answer.to_string()),
            receipt.map_or_else(String::new, |receipt| receipt.id.to_string()),
            index,
        ]
    });
    rows.collect()
}

/// What is not as the script has it. Scenes and requests are compared as kinds, since two that are sent one after the
/// other may come to light together.
pub(super) fn faults(scenes: &[Scene], requests: &[&Followed], directory: &Directory) -> Vec<String> {
    let mut balance: HashMap<String, i32> = HashMap::new();
    for scene in scenes {
        let kind = format!(
            "{} of {} through {}, closed as {}",
            scene.right, scene.controller, scene.channel, scene.outcome
        );
        *balance.entry(kind).or_default() += 1;
    }
    for one in requests {
        let closed = one
            .shown
            .outcome
            .map_or_else(|| "nothing".to_owned(), |outcome| outcome.to_string());
        let (right, channel) = (one.shown.right, one.shown.channel);
        let kind = format!(
            "{right} of {} through {channel}, closed as {closed}",
            owner(one, directory)
        );
        *balance.entry(kind).or_default() -= 1;
    }
    let told = balance.into_iter().filter_map(|(kind, number)| match number {
        1.. => Some(format!("{number} missing: {kind}")),
        0 => None,
        ..0 => Some(format!("{} too many: {kind}", -number)),
    });
    told.collect()
}

fn owner(one: &Followed, directory: &Directory) -> String {
    directory
        .controller(one.shown.controller)
        .map_or_else(String::new, |owner| owner.slug.clone())
}
