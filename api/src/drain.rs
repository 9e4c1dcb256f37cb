//! Reads on, for a while, what a client still sends when its request is already refused. A client
//! that writes into a closed connection never reads the answer that would tell it why.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use poem::{Body, Endpoint, IntoResponse, Middleware, Request, Response, Result, http::header};
use tokio::time::timeout;

/// The most bytes that are read to no purpose.
const MAX_BYTES: usize = 16 << 20;
/// The longest time that is spent on it.
const MAX_TIME: Duration = Duration::from_secs(5);

/// Drains the bodies of refused requests.
pub(crate) struct Drain;

impl<E: Endpoint> Middleware<E> for Drain {
    type Output = DrainEndpoint<E>;

    fn transform(&self, endpoint: E) -> Self::Output {
        DrainEndpoint(endpoint)
    }
}

/// An endpoint whose refused bodies are drained.
pub(crate) struct DrainEndpoint<E>(E);

impl<E: Endpoint> Endpoint for DrainEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Self::Output> {
        // A client that waits for `100 Continue` has sent nothing yet, and reads the answer.
        let waits = request.headers().contains_key(header::EXPECT);
        let rest = SharedBody::new(request.take_body());
        request.set_body(Body::from_bytes_stream(rest.clone()));
        let response = self.0.call(request).await?.into_response();
        if !response.status().is_success() && (rest.has_begun() || !waits) {
            // The limit is a matter of patience: either way the answer is sent.
            let _ = timeout(MAX_TIME, rest.drain()).await;
        }
        Ok(response)
    }
}

type Chunks = BoxStream<'static, std::io::Result<Bytes>>;

/// A body that is read by the endpoint first, and by the drain when that has let go of it.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<State>>);

struct State {
    chunks: Chunks,
    begun: bool,
}

impl SharedBody {
    fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State {
            chunks: body.into_bytes_stream().boxed(),
            begun: false,
        })))
    }

    fn has_begun(&self) -> bool {
        self.lock().begun
    }

    async fn drain(mut self) {
        let mut drained = 0;
        while drained < MAX_BYTES {
            match self.next().await {
                Some(Ok(chunk)) => drained += chunk.len(),
                _ => return,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A poll that panicked leaves a stream that is polled no more than once again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for SharedBody {
    type Item = std::io::Result<Bytes>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let mut state = self.lock();
        state.begun = true;
        state.chunks.poll_next_unpin(context)
    }
}
