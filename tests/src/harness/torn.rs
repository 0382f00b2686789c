//! A request of which only a part has come: what a server has in its hand when it, or the network, dies.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::patience::eventually;

/// Long enough for the half to lie in the server's memory and not in a socket's buffer, on a machine that is busy.
const ARRIVES: Duration = Duration::from_millis(20);

/// Such a request; it is over when this is dropped.
#[derive(Debug)]
pub struct Torn(#[expect(dead_code, reason = "it is held, not used")] TcpStream);

/// Sends a request's head and half of its body to the service at `url`, as soon as that listens.
///
/// # Panics
/// When the service doesn't come.
pub async fn half(url: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Torn {
    let address = url.trim_start_matches("http://");
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        let _ = write!(bytes, "{name}: {value}\r\n");
    }
    bytes += "\r\n";
    let mut bytes = bytes.into_bytes();
    bytes.extend_from_slice(&body[..body.len() / 2]);
    eventually(&format!("{address} takes half a request"), || async {
        let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.write_all(&bytes).await.map_err(|error| error.to_string())?;
        tokio::time::sleep(ARRIVES).await;
        Ok(Torn(stream))
    })
    .await
}
