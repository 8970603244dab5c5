//! SIGINT and SIGTERM: asked to stop once, told to stop twice.

use tokio::sync::watch;

/// Counts signals from now on: the value is how many have come.
pub fn count() -> watch::Receiver<u32> {
    let (sender, receiver) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            one().await;
            sender.send_modify(|count| *count += 1);
        }
    });
    receiver
}

/// Waits for one signal.
pub async fn wait() {
    one().await;
}

#[cfg(unix)]
async fn one() {
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

#[cfg(not(unix))]
async fn one() {
    let _ = tokio::signal::ctrl_c().await;
}
