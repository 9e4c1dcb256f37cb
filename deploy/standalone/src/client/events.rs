//! Event streams of jobs (server-sent events, WHATWG HTML §9.2).

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{ApiClient, ClientError, Resource};

/// Longest outage of the service while a stream is followed.
const MAX_OUTAGE: Duration = Duration::from_secs(15);
/// Interval between two attempts to continue a stream.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// An event of a job's stream.
#[derive(Clone, Debug)]
pub(crate) struct JobEvent {
    /// The kind: `progress` or `end`.
    pub(crate) name: String,
    /// The job; none if it was deleted.
    pub(crate) job: Option<Resource>,
}

/// The fields of an event that is being received.
#[derive(Default)]
struct EventFields {
    name: String,
    data: String,
    id: Option<String>,
}

impl ApiClient {
    /// Follows a job until it ends, and gives each event to `write`. Continues a stream that breaks, also during an
    /// outage of the service of at most [`MAX_OUTAGE`].
    pub(crate) async fn follow(
        &self,
        id: &str,
        mut write: impl FnMut(JobEvent),
    ) -> Result<(), ClientError> {
        let mut last_id = None;
        let mut deadline = Instant::now() + MAX_OUTAGE;
        loop {
            let mut on_event = |event: JobEvent| {
                deadline = Instant::now() + MAX_OUTAGE;
                write(event);
            };
            let streamed = self.stream(id, &mut last_id, &mut on_event).await;
            match streamed {
                Ok(true) => return Ok(()),
                Err(error) if !error.is_temporary() || Instant::now() > deadline => {
                    return Err(error);
                }
                Ok(false) | Err(_) => sleep(RECONNECT_INTERVAL).await,
            }
        }
    }

    /// Reads one stream. Returns whether the job has ended.
    async fn stream(
        &self,
        id: &str,
        last_id: &mut Option<String>,
        write: &mut impl FnMut(JobEvent),
    ) -> Result<bool, ClientError> {
        let mut request = self.request(Method::GET, &["jobs", id, "events"])?;
        if let Some(last) = last_id.as_deref() {
            request = request.header("Last-Event-ID", last);
        }
        let response = self.send(request).await?;
        let mut chunks = self.chunks(response);
        let mut buffer = Vec::new();
        let mut fields = EventFields::default();
        while let Some(chunk) = chunks.next().await {
            buffer.extend_from_slice(&chunk?);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let Some(event) = fields.read(line.trim_end_matches(['\r', '\n']), last_id) else {
                    continue;
                };
                let is_end = event.name == "end";
                write(event);
                if is_end {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl EventFields {
    /// Reads a line. An empty line completes the event.
    fn read(&mut self, line: &str, last_id: &mut Option<String>) -> Option<JobEvent> {
        if line.is_empty() {
            let fields = std::mem::take(self);
            if fields.id.is_some() {
                *last_id = fields.id;
            }
            let document: Value = serde_json::from_str(&fields.data).ok()?;
            let job = serde_json::from_value(document["data"].clone()).ok();
            let name = fields.name;
            return Some(JobEvent { name, job });
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.name),
            "data" => self.data.push_str(value),
            "id" => self.id = Some(value.to_owned()),
            // A comment, which keeps the connection open, or a field that this client does not need.
            _ => {}
        }
        None
    }
}
