//! How the bytes of an answer travel: in chunks, drop by drop, compressed, or behind interim answers without an end.
//!
//! Decides none of it.

use std::convert::Infallible;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A body of undeclared length, which is therefore sent in chunks, as the service does.
pub(super) type Payload = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// A body sent at once, or byte by byte with `pause` between bytes.
pub(super) fn payload(body: Bytes, pause: Option<Duration>) -> Payload {
    let pace = pause.map(|pause| tokio::time::interval(pause.max(Duration::from_millis(1))));
    let frames = stream::unfold((body, pace), |(mut rest, mut pace)| async move {
        if rest.is_empty() {
            return None;
        }
        let next = match &mut pace {
            None => std::mem::take(&mut rest),
            Some(pace) => {
                pace.tick().await;
                rest.split_to(1)
            }
        };
        Some((Ok(Frame::data(next)), (rest, pace)))
    });
    StreamBody::new(frames.boxed())
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        }
    }

    pub(super) fn encode(self, body: &[u8]) -> io::Result<Vec<u8>> {
        let out = Vec::with_capacity(body.len() / 4);
        match self {
            Coding::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Coding::Deflate => {
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
        }
    }
}

/// The time between two interim answers.
const INTERIM_PAUSE: Duration = Duration::from_millis(100);

/// A connection that serves HTTP and also lets us write interim answers beside it, because the HTTP library sends none.
#[derive(Clone)]
pub(super) struct Wire(pub(super) Arc<TcpStream>);

impl Wire {
    /// Sends 102 until the client hangs up.
    pub(super) async fn send_interim_answers(&self) -> io::Error {
        loop {
            match self.0.try_write(b"HTTP/1.1 102 Processing\r\n\r\n") {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return error,
                _ => tokio::time::sleep(INTERIM_PAUSE).await,
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The socket closes when the last holder drops it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
