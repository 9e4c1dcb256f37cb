//! The signals that stop a program.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns a token that is cancelled at the first SIGINT or SIGTERM. A second signal ends the process immediately;
/// other processes then rescue its jobs and collect its blobs.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let stopping = token.clone();
    // The task runs until the process ends.
    tokio::spawn(async move {
        first_signal(&mut interrupt, &mut terminate).await;
        tracing::info!("stopping; send the signal again to stop immediately");
        stopping.cancel();
        first_signal(&mut interrupt, &mut terminate).await;
        std::process::exit(130);
    });
    Ok(token)
}

async fn first_signal(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
