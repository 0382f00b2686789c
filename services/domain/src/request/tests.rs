use uuid::Uuid;

use super::*;

fn task(number: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(number))
}

fn tally(answers: &[Option<Answer>]) -> Tally {
    let owed = |answer: &Option<Answer>| Owed {
        demand: EvidenceLevel::Declared,
        answer: *answer,
    };
    let tasks = (1..).map(task).zip(answers.iter().map(owed)).collect();
    Tally {
        instruct: Instruct::Act,
        tasks,
    }
}

const DECLARED: EvidenceLevel = EvidenceLevel::Declared;

/// Every stage, with a plan of two tasks of which the first is answered.
fn stages() -> Vec<Stage> {
    let half = tally(&[Some(Answer::Completed), None]);
    let whole = tally(&[Some(Answer::Completed), Some(Answer::Completed)]);
    vec![
        Stage::Accepted,
        Stage::Unmatched,
        Stage::Unverified,
        Stage::AwaitingController,
        Stage::Ready,
        Stage::Planned(half),
        Stage::Closed(Closing::Fulfilled, whole),
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("unmatched", Event::Assessed(Gate::Unmatched)),
        ("unverified", Event::Assessed(Gate::Unverified)),
        ("awaiting", Event::Assessed(Gate::AwaitingController)),
        ("open", Event::Assessed(Gate::Open)),
        (
            "planned",
            Event::Planned(
                tally(&[None, None]),
                vec![Planning::Send(task(1)), Planning::Hold(task(2))],
            ),
        ),
        ("answered 1", Event::Answered(task(1), Answer::Completed, DECLARED)),
        ("answered 2", Event::Answered(task(2), Answer::Partial, DECLARED)),
        ("answered 9", Event::Answered(task(9), Answer::Completed, DECLARED)),
        ("worse", Event::Amended(task(1), Some(Answer::Refused))),
        ("failed after all", Event::Amended(task(1), None)),
        ("declined", Event::Declined),
        ("withdrawn", Event::Withdrawn),
    ]
}

/// The whole table: rows are stages, columns events, `-` is out of order. A new stage or event has no row or
/// column here and fails the test's count.
#[test]
fn every_stage_meets_every_event() {
    let expected = "
        accepted            | unmatched unverified awaiting_controller ready - - - - - - - closed
        unmatched           | - unverified awaiting_controller ready - - - - - - - closed
        unverified          | - - awaiting_controller ready - - - - - - - closed
        awaiting_controller | - - - ready - - - - - - closed closed
        ready               | - - - - planned - - - - - - closed
        planned             | - - - - - - closed - planned planned - closed
        closed              | - - - - - - - - closed planned - -";
    let rows: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(rows.len(), StageName::ALL.len());
    for (stage, row) in stages().into_iter().zip(rows) {
        let cells = events().into_iter().map(|(_, event)| match stage.clone().step(event) {
            Ok((next, _)) => next.name().to_string(),
            Err(_) => "-".to_owned(),
        });
        let cells: Vec<String> = cells.collect();
        assert_eq!(format!("{:<19} | {}", stage.name(), cells.join(" ")), row);
    }
}

#[test]
fn effects_say_what_must_happen() {
    let (_, effects) = Stage::Accepted.step(Event::Assessed(Gate::Open)).unwrap();
    assert_eq!(effects, [Effect::LogStage, Effect::Publish]);
    let (_, effects) = Stage::Ready.step(events()[4].1.clone()).unwrap();
    assert_eq!(effects, [Effect::LogPlan, Effect::Send(task(1)), Effect::Hold(task(2))]);
    let (_, effects) = stages()[5].clone().step(events()[6].1.clone()).unwrap();
    assert_eq!(effects, [Effect::LogClosure(Closing::Partly)]);
    let (_, effects) = stages()[6].clone().step(events()[8].1.clone()).unwrap();
    assert_eq!(effects, [Effect::LogStage, Effect::LogClosure(Closing::Partly)]);
    let (_, effects) = Stage::Ready.step(Event::Withdrawn).unwrap();
    assert_eq!(effects, [Effect::Cancel, Effect::LogClosure(Closing::Withdrawn)]);
}

#[test]
fn a_plan_without_tasks_is_refused() {
    assert!(Stage::Ready.step(Event::Planned(tally(&[]), vec![])).is_err());
}

#[test]
fn an_answer_below_the_demand_closes_nothing() {
    let mut plan = tally(&[None]);
    plan.tasks.get_mut(&task(1)).unwrap().demand = EvidenceLevel::Verified;
    let answered = |level| {
        Stage::Planned(plan.clone())
            .step(Event::Answered(task(1), Answer::Completed, level))
            .unwrap()
            .0
    };
    assert_eq!(answered(EvidenceLevel::Declared).name(), StageName::Planned);
    assert_eq!(answered(EvidenceLevel::Verified).name(), StageName::Closed);
}

#[test]
fn a_better_amendment_changes_nothing() {
    let closed = Stage::Closed(Closing::Partly, tally(&[Some(Answer::Partial)]));
    let (next, effects) = closed
        .clone()
        .step(Event::Amended(task(1), Some(Answer::Completed)))
        .unwrap();
    assert_eq!((next, effects), (closed, vec![]));
}

#[test]
fn the_closing_follows_from_the_answers() {
    use Answer::{Completed, NoReceipt, NotFound, NotInstructed, Partial, Refused, Undeliverable};
    let check = |answers: &[Answer], expected| {
        let answers: Vec<Option<Answer>> = answers.iter().copied().map(Some).collect();
        assert_eq!(tally(&answers).closing(), Some(expected), "{answers:?}");
    };
    check(&[Completed, NotFound], Closing::Fulfilled);
    check(&[NotFound], Closing::Fulfilled);
    check(&[Completed, NotInstructed], Closing::Fulfilled);
    check(&[Refused, Refused], Closing::Refused);
    check(&[Refused, Completed], Closing::Partly);
    check(&[Partial], Closing::Partly);
    check(&[Undeliverable, NoReceipt], Closing::Undeliverable);
    check(&[Undeliverable, Completed], Closing::Partly);
    check(&[NotInstructed], Closing::Declined);
    assert_eq!(tally(&[Some(Completed), None]).closing(), None);
    let declined = Tally {
        instruct: Instruct::Decline,
        ..tally(&[Some(Completed)])
    };
    assert_eq!(declined.closing(), Some(Closing::Declined));
}
