//! Measures the router: `./tests/run bench`, or `bench --help` ([`tests::bench`]).

use std::io;
use std::process::ExitCode;

use tests::bench::{self, Options};

const HELP: &str = "\
Usage: bench [NAME…] [--json FILE] [--repeats N] [--quick]

Measures every figure whose name contains one of the names, or all of them. Those of the cluster need Kafka and
PostgreSQL, which ./tests/run bench starts. delivery.growth and delivery.backlog store a million tasks a deployment,
which takes minutes and some gigabytes of the temporary folder; the others need neither.

  --json FILE   writes the figures there too
  --repeats N   how often each is measured; 3 if not said
  --quick       a tenth of the requests: to see that it works, not how fast
";

#[tokio::main]
async fn main() -> ExitCode {
    platform::install_crypto();
    if std::env::args().nth(1).as_deref() == Some(bench::RECEIVE) {
        return ended(bench::receive().await);
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return say(io::stdout(), HELP, ExitCode::SUCCESS),
        Err(why) => return say(io::stderr(), &format!("bench: {why}\n\n{HELP}"), ExitCode::from(2)),
    };
    ended(bench::run(options).await)
}

fn ended(outcome: Result<(), bench::NotMeasured>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(io::stderr(), &format!("bench: {error}\n"), ExitCode::FAILURE),
    }
}

fn say(mut to: impl io::Write, text: &str, code: ExitCode) -> ExitCode {
    // A reader that went away has seen what it wanted.
    let _ = to.write_all(text.as_bytes());
    code
}
