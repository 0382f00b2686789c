//! Peers that answer without end, without hurry or without sense: each attempt ends within its limit, and takes no more
//! of what the peer has to say than a limit of ours allows.

use std::sync::atomic::AtomicU64;

use super::*;

/// What one connection is told, after the begin of its request was read.
type Behaviour = fn(&mut TcpStream, &AtomicU64) -> io::Result<()>;

/// More than the buffers of both ends of a loopback connection together, and far less than an unlimited reader takes in
/// the time that an attempt has.
const BUFFERED_MAX: u64 = 24 * 1024 * 1024;

/// How late a busy machine may notice that a limit has passed.
const LATE: Duration = Duration::from_secs(3);

struct Unruly {
    port: u16,
    written: Arc<AtomicU64>,
}

impl Unruly {
    fn peer(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, written) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&written);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    stream.set_write_timeout(Some(LATE)).unwrap();
                    let _ = stream.read(&mut [0; 4096]);
                    behaviour(&mut stream, &counted)
                });
            }
        });
        Self { port, written }
    }

    /// What an attempt comes to; that it ends in time and was not fed without end is checked here.
    async fn tried(&self, egress: &Egress, scheme: &str) -> Result<Answer, EgressError> {
        let start = Instant::now();
        let outcome = post(egress, &format!("{scheme}://127.0.0.1:{}/", self.port)).await;
        let took = start.elapsed();
        assert!(took < SHORT.whole + LATE, "{took:?}");
        if let Ok(answer) = &outcome {
            assert!(answer.body.len() <= SHORT.body_max_bytes);
        }
        // The connection is closed behind an answer that was cut; what is still on its way fits into buffers.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let written = self.written.load(Ordering::SeqCst);
        assert!(written < BUFFERED_MAX, "{written} bytes were taken");
        outcome
    }
}

fn feed(stream: &mut TcpStream, written: &AtomicU64, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
    Ok(())
}

fn endless(stream: &mut TcpStream, written: &AtomicU64, head: &str, unit: &str) -> io::Result<()> {
    feed(stream, written, head.as_bytes())?;
    let many = unit.repeat((16 * 1024_usize).div_ceil(unit.len()));
    loop {
        feed(stream, written, many.as_bytes())?;
    }
}

fn dripping(stream: &mut TcpStream, written: &AtomicU64, head: &[u8], drops: &[u8]) -> io::Result<()> {
    feed(stream, written, head)?;
    stream.set_nodelay(true)?;
    for drop in drops.iter().cycle() {
        std::thread::sleep(Duration::from_millis(100));
        feed(stream, written, &[*drop])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_peer_that_drips_ends_with_the_attempt() {
    let egress = loopback();
    let body = Unruly::peer(|stream, written| {
        dripping(stream, written, b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", b"a")
    });
    let answer = body.tried(&egress, "http").await.unwrap();
    assert_eq!(
        (answer.status, answer.body_end),
        (200, BodyEnd::Cut),
        "its status counts"
    );
    assert!(!answer.body.is_empty());

    let head = Unruly::peer(|stream, written| dripping(stream, written, b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"));
    assert_eq!(head.tried(&egress, "http").await, Err(Theirs::Timeout.into()));
    let line = Unruly::peer(|stream, written| dripping(stream, written, b"", b"HTTP/1.1 200 OK"));
    assert_eq!(line.tried(&egress, "http").await, Err(Theirs::Timeout.into()));
    let interim = Unruly::peer(|stream, written| dripping(stream, written, b"", b"HTTP/1.1 103 Early\r\n\r\n"));
    assert_eq!(interim.tried(&egress, "http").await, Err(Theirs::Timeout.into()));
    // The head of a record of 16 KiB, and then its bytes: a handshake that never ends.
    let handshake = Unruly::peer(|stream, written| dripping(stream, written, b"\x16\x03\x03\x40\x00", b"\x02"));
    assert_eq!(handshake.tried(&egress, "https").await, Err(Theirs::Timeout.into()));
}

#[tokio::test]
async fn a_body_without_end_is_cut_at_its_limit() {
    let egress = loopback();
    let bodies: [Behaviour; 4] = [
        |stream, written| endless(stream, written, "HTTP/1.1 200 OK\r\n\r\n", "a"),
        |stream, written| {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775807\r\n\r\n";
            endless(stream, written, head, "a")
        },
        |stream, written| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            endless(stream, written, head, "1\r\na\r\n")
        },
        // Were it decompressed, ten bytes would be ten thousand.
        |stream, written| {
            let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n\u{1f}";
            endless(stream, written, head, "\0")
        },
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        let answer = Unruly::peer(body).tried(&egress, "http").await.unwrap();
        assert_eq!(
            (answer.status, answer.body_end),
            (200, BodyEnd::OverLimit),
            "body {number}"
        );
    }
}

#[tokio::test]
async fn what_surrounds_a_body_without_end_is_refused() {
    let egress = loopback();
    let answers: [Behaviour; 4] = [
        // One header of a megabyte, and more.
        |stream, written| endless(stream, written, "HTTP/1.1 200 OK\r\nx: ", "a"),
        // A megabyte of headers, and more.
        |stream, written| endless(stream, written, "HTTP/1.1 200 OK\r\n", "x-header: value\r\n"),
        // A status line without an end.
        |stream, written| endless(stream, written, "HTTP/1.1 200 ", "a"),
        |stream, written| endless(stream, written, "", "\0"),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let outcome = Unruly::peer(answer).tried(&egress, "http").await;
        assert_eq!(outcome, Err(Theirs::Broken.into()), "answer {number}");
    }
    let megabyte = Unruly::peer(|stream, written| {
        let headers = "x-header: value\r\n".repeat(64 * 1024);
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n");
        feed(stream, written, answer.as_bytes())
    });
    assert_eq!(megabyte.tried(&egress, "http").await, Err(Theirs::Broken.into()));
    let trailers: [Behaviour; 2] = [
        // A chunk's extension, and trailers behind the last chunk.
        |stream, written| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;";
            endless(stream, written, head, "a")
        },
        |stream, written| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
            endless(stream, written, head, "x-trailer: value\r\n")
        },
    ];
    for (number, answer) in trailers.into_iter().enumerate() {
        let answer = Unruly::peer(answer).tried(&egress, "http").await.unwrap();
        assert_eq!(answer.body_end, BodyEnd::Cut, "trailer {number}");
    }
}

#[tokio::test]
async fn interim_answers_without_end_end_with_the_attempt() {
    let interim = Unruly::peer(|stream, written| endless(stream, written, "", "HTTP/1.1 103 Early Hints\r\n\r\n"));
    let outcome = post(&loopback(), &format!("http://127.0.0.1:{}/", interim.port)).await;
    assert_eq!(outcome, Err(Theirs::Timeout.into()));
}

#[tokio::test]
async fn a_peer_that_does_not_read_ends_with_the_attempt() {
    let deaf = Unruly::peer(|_, _| {
        std::thread::sleep(SHORT.whole + LATE);
        Ok(())
    });
    let start = Instant::now();
    let url = format!("http://127.0.0.1:{}/", deaf.port);
    let outcome = loopback().post(&url, &[], vec![0; 32 * 1024 * 1024], SHORT).await;
    assert_eq!(outcome, Err(Theirs::Timeout.into()));
    assert!(start.elapsed() < SHORT.whole + LATE);
}
