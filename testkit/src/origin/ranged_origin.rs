//! An origin that answers range requests correctly (RFC 9110 §14) and follows a script.

use std::{
    collections::{HashMap, VecDeque},
    io,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::DateTime;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::WriteHalf},
    time::{Instant, sleep, sleep_until},
};

use super::{
    content::Content,
    plan::DELIVERY_TIME,
    range_headers::{content_range, http_date, requested_range, response_head},
    request::Request,
    server::Server,
};
use crate::wait_until;

/// The largest number of bytes written at once.
const MAX_WRITE_BYTES: u64 = 64 * 1024;
/// The interval at which a held connection checks whether it may continue.
const HOLD_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The behaviour of the origin, which a test can change at any time.
#[derive(Debug, Default)]
pub struct Script {
    /// The numbers of body bytes after which the next responses are reset, one for each response.
    pub cut_after: VecDeque<u64>,
    /// The bytes of a body that are sent per second on each connection.
    pub rate: Option<u64>,
    /// The number of body bytes after which each connection waits until this is `None`.
    pub hold_after: Option<u64>,
    /// Status and `Retry-After` (seconds, or [`http_date`]) of the next responses, one for each response.
    pub busy: VecDeque<(u16, String)>,
    /// Whether ranges are neither offered nor served.
    pub without_ranges: bool,
    /// Whether entity tags are weak, so that they do not identify the bytes.
    pub weak_etag: bool,
}

/// A request that the origin has received.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// `file/NAME`.
    pub path: String,
    pub range: Option<String>,
    pub if_range: Option<String>,
    pub status: u16,
    /// The number of body bytes that were written.
    pub sent: u64,
    pub began: Instant,
    /// The time just before the last byte was sent, or of the disconnect of the client; `None` while the
    /// response is in progress.
    pub ended: Option<Instant>,
}

/// An origin that serves files and single ranges of them correctly, with validators, one request per
/// connection, and records all requests.
pub struct RangedOrigin {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    script: Script,
    files: HashMap<String, File>,
    versions: u32,
    seen: Vec<RecordedRequest>,
    open: usize,
    max_open_connections: usize,
}

#[derive(Clone)]
struct File {
    content: Content,
    version: u32,
}

impl RangedOrigin {
    pub async fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let server = Server::start(move |stream| {
            let exchange = Exchange::open(Arc::clone(&shared));
            serve(stream, exchange)
        })
        .await;
        Self { server, state }
    }

    /// Adds or replaces a file and returns its URL.
    pub fn add(&self, name: &str, content: Content) -> String {
        let mut state = self.state.lock().unwrap();
        state.versions += 1;
        let version = state.versions;
        let file = File { content, version };
        state.files.insert(name.to_owned(), file);
        format!("http://{}/file/{name}", self.server.address)
    }

    /// Changes the ETag and Last-Modified of a file whose bytes stay the same.
    pub fn change_etag(&self, name: &str) {
        let content = self.state.lock().unwrap().files[name].content.clone();
        self.add(name, content);
    }

    /// Stops serving ranges.
    pub fn stop_serving_ranges(&self) {
        self.script(|script| script.without_ranges = true);
    }

    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.state.lock().unwrap().script);
    }

    /// Sends the first `bytes` bytes of each body at `rate` bytes per second, and holds the rest until
    /// [`RangedOrigin::release_held`].
    pub fn hold_after(&self, bytes: u64, rate: u64) {
        self.script(|script| {
            script.rate = Some(rate);
            script.hold_after = Some(bytes);
        });
    }

    /// Removes the limits of the rate and of the bytes.
    pub fn release_held(&self) {
        self.script(|script| {
            script.rate = None;
            script.hold_after = None;
        });
    }

    /// Returns every request so far, in order.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state.lock().unwrap().seen.clone()
    }

    /// Returns the number of body bytes written to all clients together.
    pub fn body_bytes(&self) -> u64 {
        self.requests().iter().map(|request| request.sent).sum()
    }

    /// Waits until this number of bytes of bodies was written, to all clients together.
    pub async fn wait_for_body_bytes(&self, count: u64) {
        let condition = format!("the origin has sent {count} bytes");
        wait_until(&condition, Duration::from_mins(1), async || {
            (self.body_bytes() >= count).then_some(())
        })
        .await;
    }

    /// Returns the largest number of connections that were open at the same time.
    pub fn max_open_connections(&self) -> usize {
        self.state.lock().unwrap().max_open_connections
    }
}

/// An open connection and the request on it.
struct Exchange {
    state: Arc<Mutex<State>>,
    number: Option<usize>,
    open: bool,
}

impl Exchange {
    fn open(state: Arc<Mutex<State>>) -> Self {
        {
            let mut state = state.lock().unwrap();
            state.open += 1;
            state.max_open_connections = state.max_open_connections.max(state.open);
        }
        Self {
            state,
            number: None,
            open: true,
        }
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let state = &mut *self.state.lock().unwrap();
        self.number = Some(state.seen.len());
        state.answer(request)
    }

    /// Counts bytes. To be called before they are written: a client that has received all of them may ask at
    /// once.
    fn count(&self, bytes: u64) {
        if let Some(number) = self.number {
            self.state.lock().unwrap().seen[number].sent += bytes;
        }
    }

    /// Waits until a connection that has sent this number of body bytes may send more.
    async fn released(&self, sent: u64) {
        let held = || {
            let hold_after = self.state.lock().unwrap().script.hold_after;
            hold_after.is_some_and(|most| sent >= most)
        };
        while held() {
            sleep(HOLD_POLL_INTERVAL).await;
        }
    }

    /// Marks the connection as closed. To be called before the client can notice: it may open its next
    /// connection at once.
    fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            let state = &mut *self.state.lock().unwrap();
            state.open -= 1;
            if let Some(number) = self.number {
                state.seen[number].ended = Some(Instant::now());
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.end();
    }
}

/// A response to be sent.
struct Answer {
    status: u16,
    head: String,
    content: Content,
    /// The bytes of `content` that are sent.
    range: Range<u64>,
    /// Whether the connection is reset after them.
    cut: bool,
    rate: Option<u64>,
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let mut answer = self.answer_uncut(request);
        if answer.status < 400
            && let Some(most) = self.script.cut_after.pop_front()
            && answer.range.start + most < answer.range.end
        {
            answer.range.end = answer.range.start + most;
            answer.cut = true;
        }
        let header = |name| request.header(name).map(str::to_owned);
        self.seen.push(RecordedRequest {
            path: request.target().0.to_owned(),
            range: header("Range"),
            if_range: header("If-Range"),
            status: answer.status,
            sent: 0,
            began: Instant::now(),
            ended: None,
        });
        answer
    }

    fn answer_uncut(&mut self, request: &Request) -> Answer {
        if let Some((status, retry_after)) = self.script.busy.pop_front() {
            return refusal(status, &format!("Retry-After: {retry_after}\r\n"));
        }
        let name = request.target().0.strip_prefix("file/");
        let Some(file) = name.and_then(|name| self.files.get(name)) else {
            return refusal(404, "");
        };
        let script = &self.script;
        let weak = if script.weak_etag { "W/" } else { "" };
        let etag = format!("{weak}\"{}\"", file.version);
        let last_modified = http_date(
            DateTime::from_timestamp(1_600_000_000 + i64::from(file.version), 0).unwrap(),
        );
        let unchanged = request
            .header("If-Range")
            // A weak tag never matches here (RFC 9110 §13.1.5).
            .is_none_or(|known| known == last_modified || known == etag && !script.weak_etag);
        let mut headers = format!("ETag: {etag}\r\nLast-Modified: {last_modified}\r\n");
        if !script.without_ranges {
            headers += "Accept-Ranges: bytes\r\n";
        }
        let size = file.content.size();
        let asked = (!script.without_ranges && unchanged)
            .then(|| requested_range(request, size))
            .flatten();
        let (status, range) = match asked {
            None => (200, 0..size),
            Some(range) if range.start < size => {
                headers += &content_range(&range, size);
                (206, range)
            }
            Some(_) => return refusal(416, &format!("Content-Range: bytes */{size}\r\n")),
        };
        Answer {
            status,
            head: response_head(status, range.end - range.start, &headers),
            content: file.content.clone(),
            range,
            cut: false,
            rate: script.rate,
        }
    }
}

async fn serve(mut stream: TcpStream, mut exchange: Exchange) -> io::Result<()> {
    let request = Request::read(&mut stream).await?;
    let answer = exchange.answer(&request);
    let (mut reader, writer) = stream.split();
    tokio::select! {
        sent = send(writer, &answer, &mut exchange) => sent?,
        // The client has disconnected.
        _ = reader.read_u8() => return Ok(()),
    }
    if answer.cut {
        sleep(DELIVERY_TIME).await;
        exchange.end();
        stream.set_zero_linger()
    } else {
        stream.shutdown().await
    }
}

async fn send(
    mut writer: WriteHalf<'_>,
    answer: &Answer,
    exchange: &mut Exchange,
) -> io::Result<()> {
    let Range { mut start, end } = answer.range;
    if start == end && !answer.cut {
        exchange.end();
    }
    writer.write_all(answer.head.as_bytes()).await?;
    let most = answer.rate.map_or(MAX_WRITE_BYTES, |rate| {
        (rate / 20).clamp(1, MAX_WRITE_BYTES)
    });
    let began = Instant::now();
    while start < end {
        exchange.released(start - answer.range.start).await;
        let next = end.min(start + most);
        if let Some(rate) = answer.rate {
            let bytes = next - answer.range.start;
            sleep_until(began + Duration::from_micros(bytes * 1_000_000 / rate)).await;
        }
        exchange.count(next - start);
        if next == end && !answer.cut {
            exchange.end();
        }
        writer.write_all(&answer.content.read(start..next)).await?;
        start = next;
    }
    Ok(())
}

fn refusal(status: u16, headers: &str) -> Answer {
    Answer {
        status,
        head: response_head(status, 0, headers),
        content: Content::Bytes(Arc::default()),
        range: 0..0,
        cut: false,
        rate: None,
    }
}
