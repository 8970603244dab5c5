//! SIGINT and SIGTERM: asked to stop once, told to stop twice.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// One message a signal, from now on.
pub fn listen() -> UnboundedReceiver<()> {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while !sender.is_closed() {
            wait().await;
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Waits for one signal.
#[cfg(unix)]
pub async fn wait() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Waits for one signal.
#[cfg(not(unix))]
pub async fn wait() {
    let _ = tokio::signal::ctrl_c().await;
}
