//! Tickets within one process.

use async_trait::async_trait;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use super::{Ticket, Tickets};

/// The most tickets that wait. Each worker that takes one works until nothing is pending, so more
/// than there are workers would say nothing new.
const MAX_WAITING: usize = 256;

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

#[async_trait]
impl Tickets for LocalTickets {
    async fn post(&self, count: usize) {
        for _ in 0..count {
            // Full, there are tickets enough; closed, there is nobody to tell.
            if self.0.try_send(Ticket).is_err() {
                return;
            }
        }
    }
}

impl LocalTicketSource {
    /// The tickets, one by one.
    pub fn into_stream(mut self) -> impl Stream<Item = Ticket> + Send + Unpin + 'static {
        stream::poll_fn(move |context| self.0.poll_recv(context))
    }
}
