//! Telemetry and signals belong to a whole process, so their tests have one of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, id};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use platform::egress::{Egress, EgressConfig, Limits};
use platform::lifecycle::{Ended, Lifecycle};
use platform::metrics::Counter;
use platform::telemetry::{self, Telemetry};

static TRIED: Counter = Counter::new("tried_total", "How often it was tried.");

/// Takes each request, answers 200, and hands on its path and its body.
fn collector() -> (String, std::sync::mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || serve(&stream.unwrap(), &sender));
        }
    });
    (url, receiver)
}

fn serve(mut stream: &TcpStream, sender: &Sender<(String, Vec<u8>)>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line.trim().is_empty() {
            let path = lines
                .first()
                .and_then(|line: &String| line.split(' ').nth(1))
                .unwrap()
                .to_owned();
            let length = lines
                .iter()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            let _ = sender.send((path, body));
            lines.clear();
        } else {
            lines.push(line);
        }
    }
}

#[tokio::test]
async fn what_was_done_reaches_the_collector() {
    platform::install_crypto();
    let (url, received) = collector();
    let config = Telemetry {
        otlp_endpoint: Some(url),
        filter: "error".to_owned(),
        ..Telemetry::default()
    };
    let guard = telemetry::init(&config, "tested").unwrap();
    assert!(telemetry::init(&config, "tested").is_err(), "once a process");
    tracing::info_span!("the-work").in_scope(|| TRIED.add(1, &[("door", "front")]));
    drop(guard);

    let mut bodies = std::collections::BTreeMap::new();
    while let Ok((path, body)) = received.recv_timeout(Duration::from_millis(500)) {
        bodies.insert(path, String::from_utf8_lossy(&body).into_owned());
    }
    assert!(
        bodies["/v1/traces"].contains("the-work") && bodies["/v1/traces"].contains("tested"),
        "{bodies:?}"
    );
    assert!(bodies["/v1/metrics"].contains("tried_total"), "{bodies:?}");
}

#[tokio::test]
async fn a_signal_stops_softly_and_a_second_one_cuts() {
    let lifecycle = Lifecycle::new();
    let stop = lifecycle.stop();
    lifecycle.spawn("stubborn", async move {
        stop.soft().await;
        signal("INT");
        stop.hard().await;
        Ok::<_, std::convert::Infallible>(())
    });
    let watching = lifecycle.clone();
    let running = tokio::spawn(async move { watching.run_until_stopped().await });
    // The handlers stand once the task has run up to its first wait.
    tokio::time::sleep(Duration::from_millis(100)).await;
    signal("TERM");
    let ended = tokio::time::timeout(Duration::from_secs(5), running).await;
    assert_eq!(ended.unwrap().unwrap().unwrap(), Ended::Asked);
}

/// Runs itself once more, in an environment with a proxy that isn't there.
#[tokio::test]
async fn a_proxy_in_the_environment_is_not_heeded() {
    const PEER: &str = "TEST_PEER";
    platform::install_crypto();
    let Ok(url) = std::env::var(PEER) else {
        let (url, _received) = collector();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut again = Command::new(std::env::current_exe().unwrap());
        again
            .args(["--exact", "a_proxy_in_the_environment_is_not_heeded"])
            .env(PEER, url);
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            again.env(name, format!("http://{closed}"));
        }
        assert!(again.output().unwrap().status.success());
        return;
    };
    let config = EgressConfig {
        trusted: vec!["127.0.0.1".parse().unwrap()],
        ..EgressConfig::default()
    };
    let egress = Egress::new(&config, "Test/1").unwrap();
    let answer = egress.post(&url, &[], *b"{}", Limits::default()).await.unwrap();
    assert_eq!(answer.status, 200);
}

fn signal(name: &str) {
    assert!(
        Command::new("kill")
            .args(["-s", name, &id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}
