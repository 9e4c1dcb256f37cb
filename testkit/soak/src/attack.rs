//! Ten hostile callers, each of which tries to use more than its share in one way.

use std::{
    fmt,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use media_testkit::{
    http_client,
    service::{FAR_FUTURE, import},
    tokens::project_token,
};
use serde_json::json;
use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{callers::Target, origins::HostileOrigins};

/// The pause before a closed or refused connection is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// The pause between two bytes that are sent slowly, or two reads of a slow reader.
const TRICKLE_INTERVAL: Duration = Duration::from_secs(1);
/// The number of jobs that a hostile caller adds per turn.
const JOBS_PER_TURN: usize = 20;
const JOB_TURN: Duration = Duration::from_secs(5);
/// The number of jobs with long arguments, which make large pages.
const LONG_JOBS: usize = 1000;

/// A way to use more than a fair share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Request heads that are sent slowly.
    SlowHeads,
    /// Uploads that are sent slowly.
    SlowBodies,
    /// Large responses that are read slowly.
    SlowReaders,
    /// Event streams of one job.
    EventStreams,
    /// A hundred pipelined requests whose responses are not read.
    PipelinedRequests,
    /// Connections without a request.
    IdleConnections,
    /// Slow bodies of refused requests.
    RefusedBodies,
    /// Imports from a slow origin, with the highest priority.
    SlowOrigins,
    /// Imports from an origin that asks for a retry in a day.
    UnavailableOrigins,
    /// Pages of a thousand jobs with long arguments.
    HugePages,
}

impl Attack {
    const ALL: [Self; 10] = [
        Self::SlowHeads,
        Self::SlowBodies,
        Self::SlowReaders,
        Self::EventStreams,
        Self::PipelinedRequests,
        Self::IdleConnections,
        Self::RefusedBodies,
        Self::SlowOrigins,
        Self::UnavailableOrigins,
        Self::HugePages,
    ];

    /// Returns the number of connections that a full soak tries to hold: 1,150 in all.
    fn connections(self) -> usize {
        match self {
            Self::SlowHeads => 150,
            Self::SlowBodies | Self::SlowReaders | Self::EventStreams | Self::RefusedBodies => 100,
            Self::PipelinedRequests => 60,
            Self::IdleConnections => 520,
            Self::SlowOrigins | Self::UnavailableOrigins => 1,
            Self::HugePages => 16,
        }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SlowHeads => "slow heads",
            Self::SlowBodies => "slow bodies",
            Self::SlowReaders => "slow readers",
            Self::EventStreams => "event streams",
            Self::PipelinedRequests => "pipelined requests",
            Self::IdleConnections => "idle connections",
            Self::RefusedBodies => "refused bodies",
            Self::SlowOrigins => "slow origins",
            Self::UnavailableOrigins => "unavailable origins",
            Self::HugePages => "huge pages",
        })
    }
}

pub(crate) struct Attackers {
    tasks: JoinSet<()>,
    tries: Vec<(Attack, Arc<AtomicUsize>)>,
}

impl Attackers {
    /// Starts all hostile callers.
    pub(crate) async fn start(
        target: &Target,
        origins: &HostileOrigins,
        divisor: usize,
        over: &CancellationToken,
    ) -> Self {
        let mut attackers = Self {
            tasks: JoinSet::new(),
            tries: Vec::new(),
        };
        for (number, attack) in Attack::ALL.into_iter().enumerate() {
            let attacker = Attacker::new(target, attack, number);
            let job = attacker.prepare(origins).await;
            attackers.tries.push((attack, Arc::clone(&attacker.tries)));
            for _ in 0..attack.connections().div_ceil(divisor) {
                let (attacker, over, job) = (attacker.clone(), over.clone(), job.clone());
                let slow = origins.slow.to_string();
                let unavailable = origins.unavailable.to_string();
                attackers.tasks.spawn(async move {
                    let attack = attacker.repeat(&job, &slow, &unavailable);
                    let _ = over.run_until_cancelled(attack).await;
                });
            }
        }
        attackers
    }

    /// Waits until they have ended and returns the number of tries of each attack.
    pub(crate) async fn finish(mut self) -> Vec<(String, usize)> {
        while self.tasks.join_next().await.is_some() {}
        let tries = self.tries.into_iter();
        tries
            .map(|(attack, tries)| (attack.to_string(), tries.load(Ordering::Relaxed)))
            .collect()
    }
}

/// A hostile caller with a token and an address of its own.
#[derive(Clone)]
struct Attacker {
    target: Target,
    attack: Attack,
    from: Ipv4Addr,
    token: String,
    http: reqwest::Client,
    tries: Arc<AtomicUsize>,
}

impl Attacker {
    fn new(target: &Target, attack: Attack, number: usize) -> Self {
        let number = u8::try_from(number).unwrap();
        let project = format!("hostile-{number}");
        Self {
            target: target.clone(),
            attack,
            from: Ipv4Addr::new(127, 0, 1, 1 + number),
            token: project_token(&project, &project),
            http: http_client(),
            tries: Arc::default(),
        }
    }

    /// Creates the jobs that the attack needs and returns the id of one.
    async fn prepare(&self, origins: &HostileOrigins) -> String {
        let later = json!({ "scheduled_at": FAR_FUTURE });
        let url = format!("http://{}/", origins.slow);
        let (count, arguments) = match self.attack {
            Attack::SlowReaders | Attack::HugePages => {
                let url = format!("{url}{}", "u".repeat(6000));
                let headers = json!({ "x-long": "v".repeat(6000) });
                (
                    LONG_JOBS,
                    json!({ "url": url, "resource": "r", "headers": headers }),
                )
            }
            _ => (1, json!({ "url": url, "resource": "r" })),
        };
        let document = import(&arguments, later);
        let mut id = None;
        // Sequential, to stay below the caller's rate limit.
        for _ in 0..count {
            let request = self.http.post(self.target.url("/jobs")).json(&document);
            let answer = request.bearer_auth(&self.token).send().await.unwrap();
            let document: serde_json::Value = answer.json().await.unwrap();
            id = document["data"]["id"].as_str().map(str::to_owned).or(id);
        }
        id.expect("a job was created")
    }

    async fn repeat(&self, job: &str, slow: &str, unavailable: &str) {
        loop {
            self.tries.fetch_add(1, Ordering::Relaxed);
            // The service is expected to end the connection.
            let _ = match self.attack {
                Attack::SlowHeads => self.send_head_slowly().await,
                Attack::SlowBodies => self.upload_slowly().await,
                Attack::SlowReaders => self.read_slowly("/jobs").await,
                Attack::EventStreams => self.read_slowly(&format!("/jobs/{job}/events")).await,
                Attack::PipelinedRequests => self.pipeline().await,
                Attack::IdleConnections => self.idle().await,
                Attack::RefusedBodies => self.be_refused_slowly().await,
                Attack::SlowOrigins => self.import_from(slow).await,
                Attack::UnavailableOrigins => self.import_from(unavailable).await,
                Attack::HugePages => self.read_pages().await,
            };
            sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn send_head_slowly(&self) -> io::Result<()> {
        let mut stream = self.target.connect(self.from).await?;
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: h\r\nX-Slow: ")
            .await?;
        self.trickle(&mut stream).await
    }

    async fn upload_slowly(&self) -> io::Result<()> {
        let mut stream = self.target.connect(self.from).await?;
        let head = self.head(
            "POST",
            "/medias/files/slow/1",
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n",
        );
        stream.write_all(head.as_bytes()).await?;
        let part = "--b\r\nContent-Disposition: form-data; name=\"media\"; filename=\"f\"\r\n\r\n";
        stream.write_all(part.as_bytes()).await?;
        self.trickle(&mut stream).await
    }

    async fn be_refused_slowly(&self) -> io::Result<()> {
        let mut stream = self.target.connect(self.from).await?;
        let head = "POST /jobs HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        self.trickle(&mut stream).await
    }

    /// Sends a byte per interval until the service closes the connection.
    async fn trickle(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut answer = [0; 1024];
        loop {
            stream.write_all(b"x").await?;
            if let Ok(read) = timeout(TRICKLE_INTERVAL, stream.read(&mut answer)).await
                && read? == 0
            {
                return Ok(());
            }
        }
    }

    async fn read_slowly(&self, path: &str) -> io::Result<()> {
        let mut stream = self.target.connect(self.from).await?;
        stream
            .write_all(self.head("GET", path, "").as_bytes())
            .await?;
        while stream.read(&mut [0; 1024]).await? > 0 {
            sleep(TRICKLE_INTERVAL).await;
        }
        Ok(())
    }

    async fn pipeline(&self) -> io::Result<()> {
        let mut stream = self.target.connect(self.from).await?;
        let request = "GET /docs HTTP/1.1\r\nHost: h\r\n\r\n".repeat(100);
        stream.write_all(request.as_bytes()).await?;
        while stream.read(&mut [0; 1024]).await? > 0 {
            sleep(TRICKLE_INTERVAL).await;
        }
        Ok(())
    }

    async fn idle(&self) -> io::Result<()> {
        let mut stream = self.target.connect(self.from).await?;
        let _ = stream.read(&mut [0; 1]).await?;
        Ok(())
    }

    async fn import_from(&self, origin: &str) -> io::Result<()> {
        for number in 0..JOBS_PER_TURN {
            let arguments = json!({
                "url": format!("http://{origin}/{number}"), "resource": "r", "key": number.to_string(),
            });
            let document = import(&arguments, json!({ "priority": 100 }));
            let request = self.http.post(self.target.url("/jobs")).json(&document);
            // A refusal is expected as well.
            let _ = request.bearer_auth(&self.token).send().await;
        }
        sleep(JOB_TURN).await;
        Ok(())
    }

    async fn read_pages(&self) -> io::Result<()> {
        let request = self.http.get(self.target.url("/jobs"));
        if let Ok(answer) = request.bearer_auth(&self.token).send().await {
            let _ = answer.bytes().await;
        }
        Ok(())
    }

    fn head(&self, method: &str, path: &str, more: &str) -> String {
        let token = &self.token;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
        )
    }
}
