//! A load generator that uses little CPU time itself: hyper on persistent connections.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Uri,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Requests to one server, sent round-robin.
pub(crate) struct Load {
    address: String,
    requests: Vec<Request<Full<Bytes>>>,
    turn: Cell<usize>,
}

impl Load {
    /// Returns a load of GET requests.
    pub(crate) fn get(urls: &[String]) -> Self {
        Self::new(&Method::GET, urls, &Bytes::new())
    }

    /// Returns a load of POST requests with one document.
    pub(crate) fn post(url: &str, document: &Value) -> Self {
        let body = document.to_string().into();
        Self::new(&Method::POST, &[url.to_owned()], &body)
    }

    fn new(method: &Method, urls: &[String], body: &Bytes) -> Self {
        let urls: Vec<Uri> = urls.iter().map(|url| url.parse().unwrap()).collect();
        let address = urls[0].authority().unwrap().to_string();
        let request = |url: &Uri| {
            Request::builder()
                .method(method)
                .uri(url.path_and_query().unwrap().as_str())
                .header(HOST, &address)
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(body.clone()))
                .unwrap()
        };
        Self {
            requests: urls.iter().map(request).collect(),
            address,
            turn: Cell::new(0),
        }
    }

    /// Sends requests on each connection one after the other, for `time`. Returns their number, and the time
    /// until the last response.
    pub(crate) async fn as_fast_as_it_goes(
        &self,
        connections: usize,
        time: Duration,
    ) -> (usize, Duration) {
        let (done, started) = (Cell::new(0), Instant::now());
        self.on_each(connections, async |mut sender| {
            while started.elapsed() < time {
                self.ask(&mut sender).await;
                done.set(done.get() + 1);
            }
        })
        .await;
        (done.get(), started.elapsed())
    }

    /// Sends `rate` requests per second for `time`, on schedule even if the server is slow. Returns the
    /// latency of each request since it was due.
    pub(crate) async fn at_rate(
        &self,
        rate: f64,
        connections: usize,
        time: Duration,
    ) -> Vec<Duration> {
        let (next, started) = (Cell::new(0_u32), Instant::now());
        let waits = Cell::new(Vec::new());
        self.on_each(connections, async |mut sender| {
            loop {
                let due = Duration::from_secs_f64(f64::from(next.get()) / rate);
                if due > time {
                    return;
                }
                next.set(next.get() + 1);
                let due = started + due;
                tokio::time::sleep_until(due.into()).await;
                self.ask(&mut sender).await;
                let mut all = waits.take();
                all.push(due.elapsed());
                waits.set(all);
            }
        })
        .await;
        waits.into_inner()
    }

    /// Sends requests one after the other and returns the latency of each.
    pub(crate) async fn one_by_one(&self, count: usize) -> Vec<Duration> {
        let waits = Cell::new(Vec::new());
        self.on_each(1, async |mut sender| {
            let mut all = Vec::new();
            for _ in 0..count {
                let started = Instant::now();
                self.ask(&mut sender).await;
                all.push(started.elapsed());
            }
            waits.set(all);
        })
        .await;
        waits.into_inner()
    }

    /// Runs `work` concurrently on this number of connections.
    async fn on_each(&self, connections: usize, work: impl AsyncFn(SendRequest<Full<Bytes>>)) {
        let work = &work;
        join_all((0..connections).map(|_| async move {
            let stream = TcpStream::connect(&self.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
            tokio::select! {
                () = work(sender) => {}
                ended = connection => panic!("the server has ended a connection: {ended:?}"),
            }
        }))
        .await;
    }

    async fn ask(&self, sender: &mut SendRequest<Full<Bytes>>) {
        sender.ready().await.unwrap();
        let turn = self.turn.get();
        self.turn.set((turn + 1) % self.requests.len());
        let request = self.requests[turn].clone();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
        assert!(status.is_success(), "{status}");
    }
}
