//! One control request to the process that owns the sandbox, over a plain socket.
//!
//! Needs no HTTP client: the other side is this same program, and the answer ends with the connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::disk;
use crate::wire::{Answer, Request};

/// The longest wait for an answer: most come at once, a fleet of a million devices takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a request and reads the whole answer.
///
/// # Errors
/// A sentence that names the process that did not answer.
pub(super) fn call(directory: &Path, request: &Request) -> Result<Answer, String> {
    let failed =
        |error: std::io::Error| format!("the process that serves the sandbox does not answer: {error}");
    let address = disk::address(directory)
        .ok_or("another process holds the sandbox but does not serve it; wait until it ends")?;
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let head = format!(
        "{} {} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        request.method,
        request.path,
        request.body.len()
    );
    stream.write_all(head.as_bytes()).map_err(failed)?;
    stream.write_all(&request.body).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    // HTTP/1.0 has no chunks: the body is everything after the head.
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or("the process that serves the sandbox sent no answer")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok(Answer { status, body: answer.split_off(end + 4), ..Answer::default() })
}
