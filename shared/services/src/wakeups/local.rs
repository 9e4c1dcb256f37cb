//! Wake-ups within one process.

use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use super::{MAX_WAITING, Notifier, Wakeup};

/// Wakes the workers of this process.
#[derive(Clone, Debug)]
pub struct LocalNotifier(mpsc::Sender<Wakeup>);

/// The receiving end of the wake-ups.
#[derive(Debug)]
pub struct LocalWakeups(mpsc::Receiver<Wakeup>);

/// Makes the two ends.
pub fn local_wakeups() -> (LocalNotifier, LocalWakeups) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (LocalNotifier(sender), LocalWakeups(receiver))
}

impl Notifier for LocalNotifier {
    fn notify(&self, count: usize) {
        for _ in 0..count {
            // Full: enough are waiting. Closed: there is no worker.
            if self.0.try_send(Wakeup).is_err() {
                return;
            }
        }
    }
}

impl LocalNotifier {
    /// Waits until every wake-up was received.
    pub async fn all_received(&self) {
        // Reserves all places and releases them at once. An error means that no worker receives any more.
        drop(self.0.reserve_many(MAX_WAITING).await);
    }
}

impl LocalWakeups {
    /// The wake-ups, one by one.
    pub fn into_stream(mut self) -> impl Stream<Item = Wakeup> + Send + Unpin + 'static {
        stream::poll_fn(move |context| self.0.poll_recv(context))
    }
}
