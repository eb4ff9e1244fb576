//! The shutdown of the operator.

use springtide_process::signals::TerminationSignals;
use tokio::sync::watch;
use tracing::info;

/// Waits for the shutdown to begin.
pub(crate) async fn begun(mut shutdown: watch::Receiver<bool>) {
    // A sender that is gone says that the process is ending, too.
    let _ = shutdown.wait_for(|begun| *begun).await;
}

/// Turns true with the first SIGTERM or SIGINT.
pub(crate) fn on_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let mut signals = TerminationSignals::new()?;
    tokio::spawn(async move {
        signals.received().await;
        info!("the operator is shutting down");
        sender.send_replace(true);
        // Kept until the process ends, so that the end of the sender isn't taken for a second signal.
        sender.closed().await;
    });
    Ok(receiver)
}
