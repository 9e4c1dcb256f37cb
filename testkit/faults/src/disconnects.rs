//! Clients that disconnect at random moments of every operation: while they send the request, while it is
//! processed, or when the response arrives; with FIN or RST. The operation must take effect completely or not
//! at all, without an effect on others.

use std::time::Duration;

use media_testkit::service::{FAR_FUTURE, import, signal_document};
use rand::{Rng as _, RngExt as _, rngs::StdRng};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Body, Client, file_path, id_of, priority_document},
    tally::Tally,
};

/// The longest time from a request to the disconnect; most clients disconnect much earlier.
const MAX_DELAY: Duration = Duration::from_millis(8);
/// The longest time to send a request, as the service may be frozen.
const SEND_LIMIT: Duration = Duration::from_millis(300);
/// The longest pause between two requests of a client, in milliseconds.
const MAX_PAUSE_MS: u64 = 120;
/// The number of media that one client replaces and deletes.
const MEDIA_COUNT: u32 = 40;
/// One request of this many is truncated.
const TRUNCATED_ONE_IN: u32 = 8;
/// The sizes of uploads in bytes; the largest arrive in many pieces, each counted against the quota.
const UPLOAD_BYTES: [usize; 6] = [0, 10, 2_000, 60_000, 60_000, 1_500_000];

/// An operation during which a client disconnects.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Upload,
    Replace,
    DeleteMedia,
    PostJob,
    PatchJob,
    Cancel,
    Pause,
    Resume,
    Retry,
    DeleteJob,
}

const ALL: [Operation; 10] = [
    Operation::Upload,
    Operation::Replace,
    Operation::DeleteMedia,
    Operation::PostJob,
    Operation::PatchJob,
    Operation::Cancel,
    Operation::Pause,
    Operation::Resume,
    Operation::Retry,
    Operation::DeleteJob,
];

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Upload => "uploads",
            Self::Replace => "replacements",
            Self::DeleteMedia => "deletions of media",
            Self::PostJob => "new jobs",
            Self::PatchJob => "changes of jobs",
            Self::Cancel => "cancellations",
            Self::Pause => "pauses",
            Self::Resume => "resumptions",
            Self::Retry => "retries",
            Self::DeleteJob => "deletions of jobs",
        }
    }
}

/// A client that disconnects.
pub(crate) struct DisconnectingClient {
    client: Client,
    /// The prefix of the names of its media and jobs.
    name: String,
    /// The URL that its jobs import.
    url: String,
    random: StdRng,
    made: u32,
    tally: Tally,
}

impl DisconnectingClient {
    pub(crate) fn new(client: Client, name: String, url: String, random: StdRng) -> Self {
        let mut tally = Tally::default();
        for operation in ALL {
            tally.add_many(operation.name(), 0);
        }
        Self {
            client,
            name,
            url,
            random,
            made: 0,
            tally,
        }
    }

    /// Disconnects until it is stopped. Counts only requests whose connection was established.
    pub(crate) async fn run(mut self, over: CancellationToken) -> Tally {
        while !over.is_cancelled() {
            let operation = ALL[self.random.random_range(0..ALL.len())];
            let api = self.random.random_range(0..2);
            if let Some(request) = self.request(api, operation).await
                && self.send_and_hang_up(api, request).await.is_ok()
            {
                self.tally.add(operation.name());
            }
            let pause = self.random.random_range(0..MAX_PAUSE_MS);
            sleep(Duration::from_millis(pause)).await;
        }
        self.tally
    }

    /// Prepares the target of an operation and returns the request.
    async fn request(&mut self, api: usize, operation: Operation) -> Option<Vec<u8>> {
        self.made += 1;
        let (name, made) = (&self.name, self.made);
        let place = format!("{name}/place-{}", self.random.random_range(0..MEDIA_COUNT));
        let size = UPLOAD_BYTES[self.random.random_range(0..UPLOAD_BYTES.len())];
        let mut bytes = vec![0; size];
        self.random.fill_bytes(&mut bytes);
        let client = &self.client;
        let wire = |method: &str, path: &str, body| client.wire(api, method, path, &body);
        let request = match operation {
            Operation::Upload => {
                let path = file_path(&format!("{name}/upload-{made}"));
                wire("POST", &path, Body::File(bytes))
            }
            Operation::Replace => wire("POST", &file_path(&place), Body::File(bytes)),
            Operation::DeleteMedia => {
                client.upload(api, &place, &bytes).await?;
                wire("DELETE", &file_path(&place), Body::None)
            }
            Operation::PostJob => {
                let arguments = json!({ "url": self.url, "resource": name, "key": place });
                let body = Body::Document(import(&arguments, json!({ "max_retries": 100 })));
                wire("POST", "/jobs", body)
            }
            _ => {
                let job = self.prepare_job(api, operation).await?;
                let path = format!("/jobs/{job}");
                let signal = |signal| {
                    let body = Body::Document(signal_document(signal));
                    wire("POST", &format!("{path}/signal"), body)
                };
                match operation {
                    Operation::PatchJob => {
                        let priority = i64::from(made % 50);
                        let body = Body::Document(priority_document(&job, priority));
                        wire("PATCH", &path, body)
                    }
                    Operation::Cancel => signal("cancel"),
                    Operation::Pause => signal("pause"),
                    Operation::Resume => signal("resume"),
                    Operation::Retry => signal("retry"),
                    _ => wire("DELETE", &path, Body::None),
                }
            }
        };
        Some(request)
    }

    /// Creates a job in the status that an operation needs.
    async fn prepare_job(&self, api: usize, operation: Operation) -> Option<String> {
        let key = format!("job-{}", self.made);
        let arguments = json!({ "url": self.url, "resource": self.name, "key": key });
        let document = import(&arguments, json!({ "scheduled_at": FAR_FUTURE }));
        let job = id_of(self.client.post(api, "/jobs", &document).await)?;
        match operation {
            Operation::Resume => self.client.signal(api, &job, "pause").await?,
            Operation::Retry => self.client.signal(api, &job, "cancel").await?,
            _ => return Some(job),
        };
        Some(job)
    }

    async fn send_and_hang_up(&mut self, api: usize, mut request: Vec<u8>) -> std::io::Result<()> {
        let addresses = self.client.addresses();
        let mut stream = TcpStream::connect(&addresses[api % addresses.len()]).await?;
        stream.set_nodelay(true)?;
        let is_truncated = self.random.random_range(0..TRUNCATED_ONE_IN) == 0;
        if is_truncated {
            request.truncate(self.random.random_range(1..request.len()));
        }
        let sent = tokio::time::timeout(SEND_LIMIT, stream.write_all(&request)).await;
        if matches!(sent, Ok(Ok(()))) {
            // Short times are more likely: the moments between two statements are early.
            let share: f64 = self.random.random_range(0.0..1.0);
            sleep(MAX_DELAY.mul_f64(share * share)).await;
        }
        if self.random.random_range(0..2) == 0 {
            stream.set_zero_linger()?;
        }
        if is_truncated {
            self.tally.add("truncated requests");
        }
        Ok(())
    }
}
