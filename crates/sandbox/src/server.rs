//! The sandbox's HTTP server: listens on loopback, and lets the service answer each connection or forwards it to the process that
//! owns the sandbox.
//!
//! Decides no answer; it only waits, compresses and breaks connections as the answer says.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::delivery::{Coding, Payload, Wire, payload};
use crate::sandbox::{Destination, Sandbox};
use crate::settings::SandboxError;
use crate::wire::{Answer, Delivery, Request};

/// The largest request body, in bytes: five hundred ids and a tag take a twentieth of it.
const MAX_BODY: usize = 1 << 20;
/// The largest body of the control plane, in bytes: a whole fleet at once.
const MAX_CONTROL_BODY: usize = 256 << 20;
/// Bodies with fewer bytes are sent as they are, because compressing them costs more than it saves.
const GZIP_FROM: usize = 1024;
/// The longest wait of `stop` for answers under way.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// A sandbox that is serving.
#[derive(Debug)]
pub struct Running {
    /// The loopback address and port that it listens on.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    listener: tokio::task::JoinHandle<()>,
}

impl Running {
    /// The base of every URL, for the sign-in, the API and Graph alike: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Accepts no more connections and closes idle ones; answers under way get five seconds.
    pub async fn stop(self) {
        // Fails only if nobody listens any more, which is the goal.
        let _ = self.stop.send(true);
        let _ = self.listener.await;
        let _ = tokio::time::timeout(STOP_WAIT, self.stop.closed()).await;
    }
}

/// Serves a sandbox on a loopback address; port 0 takes a free one.
///
/// # Errors
/// The address is taken, or is not on loopback.
pub async fn serve(sandbox: &Sandbox, address: SocketAddr) -> Result<Running, SandboxError> {
    let failed = |source| SandboxError::Listen { address: address.to_string(), source };
    if !address.ip().is_loopback() {
        // Even a made-up fleet may carry a real policy's tags, and anyone on the network could write to it.
        return Err(failed(io::Error::other("a sandbox is served on loopback only")));
    }
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    sandbox.announce(address)?;
    let (stop, stopped) = watch::channel(false);
    let listener = tokio::spawn(accept(listener, sandbox.clone(), stopped));
    Ok(Running { address, stop, listener })
}

/// Ends when `stop` is called, or when nobody is left who could call it.
async fn is_stopped(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn accept(listener: TcpListener, sandbox: Sandbox, mut stopped: watch::Receiver<bool>) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Probably out of file descriptors: the next connection may find some.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = is_stopped(&mut stopped) => return,
        };
        // Requests and answers are small. Waiting to fill packets would cost 40 ms each.
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(stream, sandbox.clone(), stopped.clone()));
    }
}

async fn connection(stream: TcpStream, sandbox: Sandbox, mut stopped: watch::Receiver<bool>) {
    match sandbox.destination().await {
        Destination::Nowhere => {}
        Destination::Elsewhere(owner) => hand_on(stream, owner, stopped).await,
        Destination::Here => {
            let wire = Wire(Arc::new(stream));
            let interim = wire.clone();
            let service = service_fn(move |request| {
                let (sandbox, interim) = (sandbox.clone(), interim.clone());
                // A separate task, so that a client that hangs up does not undo the write that it sent.
                let answer = tokio::spawn(async move { respond(sandbox, request, &interim).await });
                async move { answer.await.unwrap_or_else(|error| Err(io::Error::other(error))) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(wire), service));
            tokio::select! {
                // A broken connection is the client's concern, and often a fault that a test asked for.
                _ = connection.as_mut() => return,
                () = is_stopped(&mut stopped) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Copies bytes to and from the process that owns the sandbox.
async fn hand_on(mut stream: TcpStream, mut owner: TcpStream, mut stopped: watch::Receiver<bool>) {
    let _ = owner.set_nodelay(true);
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut stream, &mut owner) => {}
        () = is_stopped(&mut stopped) => {}
    }
}

async fn respond(
    sandbox: Sandbox,
    request: hyper::Request<Incoming>,
    interim: &Wire,
) -> Result<hyper::Response<Payload>, io::Error> {
    let (head, body) = request.into_parts();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let mut request = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.iter().map(header).collect(),
        body: Vec::new(),
    };
    let limit = if request.path.starts_with("/_sim/") { MAX_CONTROL_BODY } else { MAX_BODY };
    request.body = match Limited::new(body, limit).collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return reply(Answer::empty(413), None).await;
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    let offers_gzip = request.header("accept-encoding").is_some_and(|accepted| accepted.contains("gzip"));
    let open = sandbox.begin(&request);
    let Some(open) = open else { return Err(io::Error::other("the sandbox is closed")) };
    if !open.wait().is_zero() {
        tokio::time::sleep(open.wait()).await;
    }
    let Some(answer) = sandbox.finish(open) else { return Err(io::Error::other("the sandbox is closed")) };
    if answer.delivery == Delivery::Interim {
        return Err(interim.send_interim_answers().await);
    }
    reply(answer, sandbox.coding().filter(|_| offers_gzip)).await
}

async fn reply(answer: Answer, coding: Option<Coding>) -> Result<hyper::Response<Payload>, io::Error> {
    if answer.delivery == Delivery::Reset {
        return Err(io::Error::from(io::ErrorKind::ConnectionReset));
    }
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    let mut body = answer.body;
    // A test of this coding, which the client did not offer, must see it on answers of every length.
    let coding = coding.filter(|coding| *coding == Coding::Deflate || body.len() >= GZIP_FROM);
    if let Some(coding) = coding {
        response = response.header("content-encoding", coding.name()).header("vary", "Accept-Encoding");
        // Ten thousand devices take a while, and other connections should not wait for them.
        body =
            tokio::task::spawn_blocking(move || coding.encode(&body)).await.map_err(io::Error::other)??;
    }
    let mut body = Bytes::from(body);
    if answer.delivery == Delivery::CutOff {
        // The header promises the whole body and half of it is sent, so the connection breaks in the middle.
        response = response.header("content-length", body.len());
        body.truncate(body.len() / 2);
    }
    let pause = match answer.delivery {
        Delivery::Drip(pause) => Some(pause),
        _ => None,
    };
    response.body(payload(body, pause)).map_err(io::Error::other)
}
