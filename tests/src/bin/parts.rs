//! Starts the real parts that the tests run against, says where they listen, and stays until it is told to stop.
//!
//! `./tests/run` runs it beside the tests; a developer runs it by `./tests/run parts`. Each line on standard output is
//! `VARIABLE=value`, then `READY`. It ends on SIGINT, SIGTERM, or when the process named by `--while PID` is gone, and
//! the parts end with it (`tests::parts`).

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tests::parts::{kafka, postgres};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "parts: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> io::Result<()> {
    let master = master()?;
    let stop = stopped(master.as_deref());
    tokio::pin!(stop);
    let (kafka, postgres) = tokio::select! {
        started = async { tokio::try_join!(kafka::Kafka::start(), postgres::Postgres::start()) } => started?,
        asked = &mut stop => return asked,
    };
    let mut out = io::stdout();
    writeln!(out, "{}={}", kafka::VARIABLE, kafka.bootstrap())?;
    writeln!(out, "{}={}", postgres::VARIABLE, postgres.server().url())?;
    writeln!(out, "READY")?;
    stop.await
}

/// The process that this one serves, if it serves one: `--while PID`.
fn master() -> io::Result<Option<String>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Ok(None),
        [option, process] if option == "--while" && process.parse::<u32>().is_ok() => Ok(Some(process.clone())),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the only arguments it takes are `--while PID`",
        )),
    }
}

async fn stopped(master: Option<&str>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hang_up.recv() => {}
        () = gone(master) => {}
    }
    Ok(())
}

async fn gone(process: Option<&str>) {
    let Some(process) = process else {
        return std::future::pending().await;
    };
    while Path::new("/proc").join(process).exists() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
