//! SIGINT and SIGTERM, and what Windows has in their place: asked to stop once, told to stop twice.

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

/// Ctrl-C and Ctrl-Break; the window that is closed, the session and the computer that end give some seconds.
#[cfg(windows)]
struct Signals {
    interrupt: Option<tokio::signal::windows::CtrlC>,
    interrupt_too: Option<tokio::signal::windows::CtrlBreak>,
    close: Option<tokio::signal::windows::CtrlClose>,
    shutdown: Option<tokio::signal::windows::CtrlShutdown>,
}

#[cfg(windows)]
impl Signals {
    fn new() -> Signals {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        // What cannot be caught ends the process, as it would without this.
        Signals {
            interrupt: ctrl_c().ok(),
            interrupt_too: ctrl_break().ok(),
            close: ctrl_close().ok(),
            shutdown: ctrl_shutdown().ok(),
        }
    }

    async fn next(&mut self) {
        macro_rules! one {
            ($signal:expr) => {
                async {
                    match &mut $signal {
                        Some(signal) => drop(signal.recv().await),
                        None => std::future::pending().await,
                    }
                }
            };
        }
        tokio::select! {
            () = one!(self.interrupt) => {}
            () = one!(self.interrupt_too) => {}
            () = one!(self.close) => {}
            () = one!(self.shutdown) => {}
        }
    }
}
