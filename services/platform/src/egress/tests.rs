//! Against peers on loopback, written by hand, because a well-behaved server library can't misbehave.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use reqwest::dns::Resolve as _;

use super::resolve::{Looking, NameError};
use super::*;

mod hostile;
mod unruly;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A peer that answers every request with the same bytes and remembers what it saw.
struct Peer {
    port: u16,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    fn answering(answer: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = Self {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            heads: Arc::default(),
        };
        let (connections, heads, answer) = (Arc::clone(&peer.connections), Arc::clone(&peer.heads), answer.into());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (heads, answer) = (Arc::clone(&heads), answer.clone());
                std::thread::spawn(move || serve(&stream.unwrap(), &answer, &heads));
            }
        });
        peer
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?token=t", self.port)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads whole requests whose body is `{}` or nothing, and answers each.
fn serve(mut stream: &TcpStream, answer: &str, heads: &Mutex<Vec<String>>) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let bodiless = text.starts_with("GET") || text.starts_with("CONNECT");
        let whole = text.ends_with("\r\n\r\n{}") || bodiless && text.ends_with("\r\n\r\n");
        if whole && !answer.is_empty() {
            heads.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            seen.clear();
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Names with the answers that they give, one after the other; the last one stays.
#[derive(Default)]
struct Names(Mutex<BTreeMap<&'static str, Vec<&'static str>>>);

impl Names {
    fn of(names: &[(&'static str, &[&'static str])]) -> Self {
        let names = names.iter().map(|(name, answers)| (*name, answers.to_vec()));
        Self(Mutex::new(names.collect()))
    }
}

impl Lookup for Names {
    fn lookup(&self, name: String) -> Looking {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = names.get_mut(name.as_str()).map(|answers| match answers.len() {
            1 => answers[0],
            _ => answers.remove(0),
        });
        Box::pin(async move {
            match answer {
                None => Err(io::Error::other(
                    "failed to lookup address information: Name or service not known",
                )),
                Some("busy") => Err(io::Error::other(
                    "failed to lookup address information: Temporary failure in name resolution",
                )),
                Some(addresses) => Ok(addresses.split(' ').map(|address| address.parse().unwrap()).collect()),
            }
        })
    }
}

fn egress(trusted: &[&str], ports: &[u16], names: Names) -> Egress {
    crate::install_crypto();
    let config = EgressConfig {
        trusted: trusted.iter().map(|text| text.parse().unwrap()).collect(),
        ports: ports.to_vec(),
        ..EgressConfig::default()
    };
    Egress::with_lookup(&config, "Test/1", names).unwrap()
}

fn loopback() -> Egress {
    egress(&["127.0.0.1"], &[443], Names::default())
}

/// Short enough for a test, long enough for a busy machine's loopback.
const SHORT: Limits = Limits {
    whole: Duration::from_millis(500),
    body_max_bytes: 8,
};

async fn post(egress: &Egress, url: &str) -> Result<Answer, EgressError> {
    egress.post(url, &[("webhook-id", "msg_1")], *b"{}", SHORT).await
}

#[tokio::test]
async fn posts_share_a_connection_and_carry_only_what_they_should() {
    let peer = Peer::answering(OK);
    let egress = loopback();
    for _ in 0..20 {
        let answer = post(&egress, &peer.url()).await.unwrap();
        assert_eq!((answer.status, answer.body_end), (200, BodyEnd::Complete));
        assert_eq!(answer.body, b"ok");
    }
    assert_eq!(peer.connections(), 1);
    let heads = peer.heads.lock().unwrap();
    let mut lines: Vec<&str> = heads[0].trim_end_matches("{}").trim_end().lines().collect();
    lines.sort_unstable();
    let host = format!("host: 127.0.0.1:{}", peer.port);
    let wanted = [
        "POST /hook?token=t HTTP/1.1",
        "accept: */*",
        "content-length: 2",
        &host,
        "user-agent: Test/1",
        "webhook-id: msg_1",
    ];
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_deadline() {
    let answer = async |bytes: &str| post(&loopback(), &Peer::answering(bytes).url()).await.unwrap();
    let long = answer("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n123456789").await;
    assert_eq!(
        (long.body_end, long.body.as_slice()),
        (BodyEnd::OverLimit, &b"12345678"[..])
    );
    let stalled = answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n123").await;
    assert_eq!(
        (stalled.status, stalled.body_end, stalled.body.as_slice()),
        (200, BodyEnd::Cut, &b"123"[..])
    );
    let zipped = answer("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\u{1}\u{2}").await;
    assert_eq!(zipped.body, b"\x01\x02", "not decompressed");
}

#[tokio::test]
async fn an_error_says_whose_fault_it_is() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let egress = egress(&["127.0.0.1"], &[443], Names::of(&[("busy.example", &["busy"])]));
    let silent = Peer::answering("");
    let nonsense = Peer::answering("SSH-2.0-x\r\n");
    let check = async |url: &str, wanted: EgressError| assert_eq!(post(&egress, url).await, Err(wanted), "{url}");
    check(&format!("http://{closed}/"), Theirs::Refused.into()).await;
    check(&silent.url(), Theirs::Timeout.into()).await;
    check(&nonsense.url(), Theirs::Broken.into()).await;
    check("https://nowhere.example/", Theirs::Name.into()).await;
    check("https://busy.example/", Ours::Resolver.into()).await;

    let headers = [("x", "a\r\nb: c")];
    let split = egress.post(&silent.url(), &headers, *b"{}", SHORT).await;
    assert_eq!(split, Err(Ours::Request.into()));
}

#[tokio::test]
async fn a_peer_without_tls_is_told_from_a_dead_proxy() {
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 No\r\n\r\n");
        let _ = stream.read(&mut [0; 512]);
    });
    let outcome = post(&loopback(), &format!("https://127.0.0.1:{port}/")).await;
    assert_eq!(outcome, Err(Theirs::Tls.into()));

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = EgressConfig {
        proxy: Some(Secret::new(format!("http://user:pass@{closed}"))),
        ..EgressConfig::default()
    };
    let proxied = Egress::with_lookup(&config, "Test/1", Names::default()).unwrap();
    assert_eq!(post(&proxied, "https://example.org/").await, Err(Ours::Proxy.into()));
    assert!(!format!("{proxied:?}").contains("pass"));
    let forbidden = post(&proxied, "https://10.0.0.1/").await;
    assert_eq!(
        forbidden,
        Err(Forbidden::Address("private").into()),
        "literals are judged with a proxy too"
    );
}

/// It resolves the names, so they are not asked for here; what it is told of HTTPS is the name and the port alone.
#[tokio::test]
async fn everything_goes_through_the_proxy_if_there_is_one() {
    let proxied = |peer: &Peer| {
        let config = EgressConfig {
            trusted: vec!["intranet.example".parse().unwrap()],
            proxy: Some(Secret::new(format!("http://user:pass@127.0.0.1:{}", peer.port))),
            ..EgressConfig::default()
        };
        crate::install_crypto();
        Egress::with_lookup(&config, "Test/1", Names::default()).unwrap()
    };
    let heard = |peer: &Peer| peer.heads.lock().unwrap().concat();
    let open = Peer::answering(OK);
    let answer = post(&proxied(&open), "http://intranet.example/hook").await.unwrap();
    assert_eq!(answer.status, 200);
    let request = heard(&open);
    assert!(
        request.starts_with("POST http://intranet.example/hook HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("proxy-authorization: Basic dXNlcjpwYXNz\r\n"),
        "{request}"
    );

    let refusing = Peer::answering("HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n");
    let outcome = post(&proxied(&refusing), "https://example.org/hook?token=t").await;
    assert_eq!(
        outcome,
        Err(Ours::Proxy.into()),
        "the client's attempts are not spent on it"
    );
    let request = heard(&refusing).to_ascii_lowercase();
    assert!(request.starts_with("connect example.org:443 http/1.1\r\n"), "{request}");
    assert!(
        request.contains("proxy-authorization: basic dxnlcjpwyxnz\r\n"),
        "{request}"
    );
    assert!(
        !request.contains("token") && !request.contains("webhook-id"),
        "{request}"
    );
}

#[tokio::test]
async fn retry_after_is_seconds_or_a_date() {
    let after = async |value: &str| {
        let peer = Peer::answering(format!(
            "HTTP/1.1 503 Busy\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n"
        ));
        post(&loopback(), &peer.url()).await.unwrap().retry_after
    };
    assert_eq!(after("120").await, Some(RetryAfter::Delay(Duration::from_mins(2))));
    let date = Timestamp::from_second(784_111_777).unwrap();
    assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT").await, Some(RetryAfter::At(date)));
    assert_eq!(after("soon").await, None);
    assert_eq!(after("-5").await, None);
}
