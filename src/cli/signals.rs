//! SIGINT and SIGTERM, and their Windows equivalents: the first asks to stop, the second ends the process.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mdetag_core::apply::StopReason;
use mdetag_core::time::{Clock, Timestamp};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;

/// What ends an apply early, before or after its first call.
pub struct StopConditions {
    /// One message per signal.
    pub signals: UnboundedReceiver<()>,
    deadline: Option<Timestamp>,
    clock: Arc<dyn Clock>,
}

impl StopConditions {
    /// Listens from now on. A time limit counts from the start of the command.
    pub fn listen(context: &Context, limit: Option<Duration>) -> StopConditions {
        let deadline = limit.map(|limit| context.started.plus(limit));
        if let Some(deadline) = deadline {
            let (left, stopping) = (deadline.since(context.clock.now()), context.stopping.clone());
            tokio::spawn(async move {
                tokio::time::sleep(left).await;
                stopping.send_replace(Some(StopReason::Deadline));
            });
        }
        StopConditions { signals: listen(context), deadline, clock: context.clock.clone() }
    }

    /// Does some work before the first call, unless a signal or the time limit ends it.
    ///
    /// # Errors
    /// Those of the work; stopped.
    pub async fn or<T>(&mut self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let deadline = self.deadline;
        let time = async {
            match deadline {
                Some(deadline) => tokio::time::sleep(deadline.since(self.clock.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = work => done,
            Some(()) = self.signals.recv() => Err(Failure::stopped()),
            () = time => Err(Failure::out_of_time()),
        }
    }
}

/// How long a read-only command may take to notice a signal: it may be in the middle of planning.
const READING_GRACE: Duration = Duration::from_secs(2);

/// Runs a command that writes nothing to a tenant, and ends it at the first signal.
///
/// # Errors
/// Those of the command; stopped.
#[expect(clippy::exit, reason = "planning does not look up, and nothing that it holds has to be closed")]
pub async fn end_reading(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let (sender, mut stop) = unbounded_channel();
    let mut signals = Signals::new();
    let listener = tokio::spawn(async move {
        signals.next().await;
        let _ = sender.send(());
        tokio::select! {
            () = tokio::time::sleep(READING_GRACE) => {}
            () = signals.next() => {}
        }
        std::process::exit(i32::from(Exit::Stopped.code()));
    });
    let ended = tokio::select! {
        ended = command => ended,
        Some(()) = stop.recv() => Err(Failure::stopped_reading()),
    };
    listener.abort();
    ended
}

/// How long after the second signal the process may still close its journal and report.
const PATIENCE: Duration = Duration::from_secs(2);

/// One message per signal, from now on; none is lost in between. After the second the process ends, whatever it waits for: a
/// hanging disk must not keep it alive.
#[expect(clippy::exit, reason = "whatever waits cannot be told, so the process ends without it")]
pub fn listen(context: &Context) -> UnboundedReceiver<()> {
    let (sender, receiver) = unbounded_channel();
    let mut signals = Signals::new();
    let stopping = context.stopping.clone();
    tokio::spawn(async move {
        signals.next().await;
        stopping.send_replace(Some(StopReason::Signal));
        // Even without a receiver, the second signal must end the process.
        let _ = sender.send(());
        signals.next().await;
        let _ = sender.send(());
        tokio::time::sleep(PATIENCE).await;
        std::process::exit(Exit::Stopped.code().into());
    });
    receiver
}

pub async fn wait() {
    Signals::new().next().await;
}

/// Both signals, caught from the creation of this value.
#[cfg(unix)]
struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Signals {
        use tokio::signal::unix::{SignalKind, signal};
        // A signal that cannot be caught ends the process, as it would without this.
        Signals {
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
        }
    }

    async fn next(&mut self) {
        async fn wait_for_signal(signal: &mut Option<tokio::signal::unix::Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = wait_for_signal(&mut self.interrupt) => {}
            () = wait_for_signal(&mut self.terminate) => {}
        }
    }
}

/// Ctrl-C and Ctrl-Break; closing the window, logging off and shutting down leave some seconds.
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
        // A signal that cannot be caught ends the process, as it would without this.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// Tokio's own clock, which the test stops.
    struct StoppedClock(Instant);

    impl Clock for StoppedClock {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH.plus(self.0.elapsed())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_limit_and_a_signal_end_what_comes_before_the_first_call() {
        let (sender, signals) = unbounded_channel();
        let start = Instant::now();
        let deadline = Some(Timestamp::EPOCH.plus(Duration::from_secs(3_000)));
        let mut stops = StopConditions { signals, deadline, clock: Arc::new(StoppedClock(start)) };
        let hour = async || {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Ok(())
        };
        let failure = stops.or(hour()).await.unwrap_err();
        assert_eq!((failure.exit, start.elapsed().as_secs()), (Exit::Stopped, 3_000));
        assert!(failure.message.contains("--max-duration"), "{failure}");
        stops.deadline = None;
        stops.or(hour()).await.unwrap();
        sender.send(()).unwrap();
        let failure = stops.or(hour()).await.unwrap_err();
        assert_eq!((failure.exit, start.elapsed().as_secs()), (Exit::Stopped, 6_600));
    }
}
