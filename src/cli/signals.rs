//! SIGINT and SIGTERM: asked to stop once, told to stop twice.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// One message a signal, from now on: none is lost between two of them.
pub fn listen() -> UnboundedReceiver<()> {
    let (sender, receiver) = unbounded_channel();
    let mut signals = Signals::new();
    tokio::spawn(async move {
        loop {
            signals.next().await;
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Waits for one signal.
pub async fn wait() {
    Signals::new().next().await;
}

/// Both signals, caught from the moment that this is made.
#[cfg(unix)]
struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Signals {
        use tokio::signal::unix::{SignalKind, signal};
        // What cannot be caught ends the process, as it would without this.
        Signals {
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
        }
    }

    async fn next(&mut self) {
        async fn one(signal: &mut Option<tokio::signal::unix::Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = one(&mut self.interrupt) => {}
            () = one(&mut self.terminate) => {}
        }
    }
}

/// Ctrl-C, which is all there is elsewhere.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Signals {
        Signals
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
