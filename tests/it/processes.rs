//! The program as an orchestrator and an operator meet it: how it ends when asked, and what it says when it can't begin.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use domain::request::Closing;
use tests::harness::{Client, DELETE, Person, Place, Processes, Router, Service, prepare, run};
use tests::parts::quittance;
use tokio::process::Command;

/// What can't begin says so before this; a database has ten seconds to answer.
const REFUSED_WITHIN: Duration = Duration::from_secs(30);

/// Nobody listens here: the port is reserved.
const NOWHERE: &str = "127.0.0.1:1";

mod cluster {
    use super::*;

    /// Open attempts are cut in time, their tasks are due again, and whoever comes next goes on with them.
    #[test]
    fn sigterm_ends_each_service_well_and_releases_what_hangs() {
        run(async {
            let router = Router::start_processes(Place::cluster().await).await;
            let client = router.client("hanging").await;
            client.system().tap.hold();
            let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
            client.webhook(client.system(), case.id).await;

            ends_well(router.processes(), Service::Dispatch);
            let stages: Vec<_> = case.tasks().await.into_iter().map(|task| task.stage).collect();
            assert_eq!(stages, ["due"], "the task is released");

            client.system().tap.open();
            router.processes().begin(Service::Dispatch);
            client.done(&case, Closing::Fulfilled).await;
            for service in Service::CLUSTER {
                ends_well(router.processes(), service);
            }
        });
    }

    #[test]
    fn a_database_that_is_away_is_named_in_one_line() {
        run(async {
            let mut place = Place::cluster().await;
            drop(prepare(&place));
            let databases = place.cluster.as_mut().unwrap();
            databases.router = format!("postgres://quittance:hidden@{NOWHERE}/router");
            drop(place.write());
            for service in ["intake", "dispatch"] {
                let line = refused(&place, &[service], 3).await;
                assert!(
                    line.contains("`databases.router.url`") && line.contains(NOWHERE),
                    "{line}"
                );
                assert!(!line.contains("hidden"), "the password is not told: {line}");
            }
        });
    }

    #[test]
    fn brokers_that_are_away_are_named_in_one_line() {
        run(async {
            let mut place = Place::cluster().await;
            place.cluster.as_mut().unwrap().brokers = NOWHERE.to_owned();
            drop(place.write());
            let line = refused(&place, &["topics"], 3).await;
            assert!(line.contains("`kafka.brokers`") && line.contains(NOWHERE), "{line}");
        });
    }
}

/// The same for everything in one process.
#[test]
fn sigterm_ends_up_well_while_an_answer_is_awaited() {
    run(async {
        let router = Router::start_processes(Place::embedded()).await;
        let client: Client<'_> = router.client("hanging").await;
        client.system().tap.hold();
        let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
        client.webhook(client.system(), case.id).await;
        ends_well(router.processes(), Service::Up);
        let stages: Vec<_> = case.tasks().await.into_iter().map(|task| task.stage).collect();
        assert_eq!(stages, ["due"], "the task is released");
    });
}

/// Two of them would each hold the folder's log, and neither would hear the other's messages.
#[test]
fn a_folder_has_one_process() {
    run(async {
        let router = Router::start_processes(Place::embedded()).await;
        for service in ["up", "dispatch"] {
            let line = refused(router.place(), &[service], 2).await;
            assert!(line.contains("in use by another process"), "{line}");
        }
        ends_well(router.processes(), Service::Up);
    });
}

fn ends_well(processes: &Processes, service: Service) {
    // The time is checked by `terminate`.
    let (code, took) = processes.terminate(service);
    let log = fs::read_to_string(processes.log(service)).unwrap_or_default();
    assert_eq!(code, 0, "{service:?} after {took:?}:\n{log}");
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused_in_one_line() {
    run(async {
        let place = Place::embedded();
        drop(place.write());
        let text = fs::read_to_string(place.config()).unwrap();
        fs::write(place.config(), text.replace("[dispatch.egress]", "[dispatch.egres]")).unwrap();
        for words in [&["up"][..], &["dispatch"], &["migrate"], &["doctor"]] {
            let line = refused(&place, words, 2).await;
            assert!(line.contains("egres") && line.contains("quittance.toml"), "{line}");
        }
    });
}

#[test]
fn a_missing_key_file_is_named_in_one_line_with_what_makes_it() {
    run(async {
        let place = Place::embedded();
        drop(place.prepare().await);
        for (file, words) in [
            ("log.key", "ledger"),
            ("log.key", "up"),
            ("keys.toml", "intake"),
            ("keys.toml", "up"),
        ] {
            let hidden = place.file("hidden");
            fs::rename(place.file(file), &hidden).unwrap();
            let line = refused(&place, &[words], 2).await;
            assert!(names(&line, &place.file(file)) && line.contains("keys init"), "{line}");
            fs::rename(hidden, place.file(file)).unwrap();
        }
    });
}

fn names(line: &str, file: &Path) -> bool {
    line.contains(&*file.to_string_lossy())
}

/// Runs what must fail with this code; returns the one line that it says.
async fn refused(place: &Place, words: &[&str], code: i32) -> String {
    let mut command = Command::new(quittance());
    command
        .args(words)
        .arg("--config")
        .arg(place.config())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(REFUSED_WITHIN, command.output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("{words:?} goes on"))
        .expect("the program starts");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(code), "{words:?}: {errors}");
    assert_eq!(errors.lines().count(), 1, "{words:?}: {errors}");
    errors.trim_end().to_owned()
}
