//! Tickets within one process.

use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use super::{MAX_WAITING, Ticket, Tickets};

/// Posts tickets to the workers of this process.
#[derive(Clone, Debug)]
pub struct LocalTickets(mpsc::Sender<Ticket>);

/// Where the worker takes the tickets from.
#[derive(Debug)]
pub struct LocalTicketSource(mpsc::Receiver<Ticket>);

/// Makes the two ends.
pub fn local_tickets() -> (LocalTickets, LocalTicketSource) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (LocalTickets(sender), LocalTicketSource(receiver))
}

impl Tickets for LocalTickets {
    fn post(&self, count: usize) {
        for _ in 0..count {
            // Full, there are tickets enough; closed, there is nobody to tell.
            if self.0.try_send(Ticket).is_err() {
                return;
            }
        }
    }
}

impl LocalTickets {
    /// Waits until every ticket was taken.
    pub async fn all_taken(&self) {
        // The room of all of them, held for no longer than it takes to know; an error means that
        // nobody takes tickets any more.
        drop(self.0.reserve_many(MAX_WAITING).await);
    }
}

impl LocalTicketSource {
    /// The tickets, one by one.
    pub fn into_stream(mut self) -> impl Stream<Item = Ticket> + Send + Unpin + 'static {
        stream::poll_fn(move |context| self.0.poll_recv(context))
    }
}
