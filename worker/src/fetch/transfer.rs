//! The bytes of a URL in their order, over as many connections as it takes: one that breaks is
//! followed by another that goes on where it broke.

use std::{
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use media_domain::job::{Failure, FailureCode};
use rand::RngExt as _;
use tokio::time::sleep;

use super::{
    Body, FetchError, Fetcher, Head, Opened, Part, Target, ahead::Ahead, failure, flight::Flight,
};

/// How often a connection that broke is followed by another before enough has come.
const MAX_RECONNECTS: u32 = 4;
/// What is enough.
const PROGRESS_BYTES: u64 = 256 * 1024;
/// The pause before the first of them; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Bytes on their way from an origin.
pub struct Transfer {
    fetcher: Fetcher,
    target: Target,
    head: Head,
    /// What is read now; nothing between two connections.
    reading: Option<Reading>,
    /// The connections beside it, where there can be any.
    flight: Option<Flight>,
    /// How many bytes were handed out, and those before them.
    position: u64,
    reconnects: Reconnects,
}

/// What is read now.
enum Reading {
    /// All the rest.
    Rest(Body),
    /// A part that was fetched ahead.
    Part(Ahead),
    /// What is missing before the part that was fetched ahead.
    Gap { body: Body, end: u64 },
}

/// How often a connection broke without bringing enough.
#[derive(Debug, Default)]
struct Reconnects {
    count: u32,
    since: u64,
}

impl Transfer {
    pub(super) fn new(fetcher: Fetcher, target: Target, opened: Opened, position: u64) -> Self {
        Self {
            flight: Flight::of(&fetcher, opened.near, &opened.head),
            fetcher,
            target,
            head: opened.head,
            reading: Some(Reading::Rest(opened.body)),
            position,
            reconnects: Reconnects {
                count: 0,
                since: position,
            },
        }
    }

    /// What the origin says about the bytes.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whether all the bytes are there, as far as the origin said how many there are.
    pub fn is_whole(&self) -> bool {
        self.head.identity.total == Some(self.position)
    }

    /// The next bytes, or nothing at the end of all.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            self.steer();
            let asked = Instant::now();
            let read = match &mut self.reading {
                Some(Reading::Rest(body) | Reading::Gap { body, .. }) => {
                    body.next().await.map_err(FetchError::from)
                }
                Some(Reading::Part(part)) => part.next().await,
                None => Ok(None),
            };
            match read {
                Ok(Some(bytes)) => return self.hand_out(bytes, asked.elapsed()).map(Some),
                Ok(None) if self.is_at_the_end() => return Ok(None),
                Ok(None) if self.is_part_read() => self.read_on().await?,
                Ok(None) => self.reconnect(failure::incomplete(&self.head.url)).await?,
                Err(error) if matches!(self.reading, Some(Reading::Part(_))) => {
                    self.falter(&error);
                    self.read_on().await?;
                }
                Err(FetchError::Failed(failure)) => self.reconnect(failure).await?,
                Err(changed) => return Err(changed),
            }
        }
    }

    fn steer(&mut self) {
        let (end, is_coming) = match &self.reading {
            Some(Reading::Rest(_)) => (None, true),
            Some(Reading::Part(part)) => (Some(part.end), !part.is_fetched()),
            Some(Reading::Gap { end, .. }) => (Some(*end), true),
            None => return,
        };
        if let Some(flight) = &mut self.flight {
            flight.steer(&self.head, self.position, end, is_coming);
        }
    }

    /// Hands bytes out, as far as they are not those of the next part.
    fn hand_out(&mut self, mut bytes: Bytes, waited: Duration) -> Result<Bytes, FetchError> {
        let end = self.position + bytes.len() as u64;
        if let Some(flight) = &mut self.flight {
            let counted = match &self.reading {
                Some(Reading::Rest(_) | Reading::Gap { .. }) => bytes.len(),
                // Counted when they came.
                _ => 0,
            };
            flight.note(waited, counted);
            if let Some(next) = flight.begins_at()
                && end >= next
            {
                let is_good = matches!(self.reading, Some(Reading::Rest(_)));
                if is_good && !flight.has_begun() {
                    // This connection does better.
                    self.flight = None;
                    self.position = end;
                    return Ok(bytes);
                }
                bytes.truncate(usize::try_from(next - self.position).unwrap_or(usize::MAX));
                self.reading = flight.take_first().map(Reading::Part);
                self.position = next;
                return Ok(bytes);
            }
        }
        let limit = match &self.reading {
            Some(Reading::Part(part)) => Some(part.end),
            Some(Reading::Gap { end, .. }) => Some(*end),
            _ => self.head.identity.total,
        };
        if limit.is_some_and(|limit| end > limit) {
            return Err(FetchError::Changed(None));
        }
        self.position = end;
        Ok(bytes)
    }

    fn is_at_the_end(&self) -> bool {
        let unknown = self.head.identity.total.is_none();
        self.is_whole() || (unknown && matches!(self.reading, Some(Reading::Rest(_))))
    }

    fn is_part_read(&self) -> bool {
        match &self.reading {
            Some(Reading::Part(part)) => part.end == self.position,
            Some(Reading::Gap { end, .. }) => *end == self.position,
            _ => false,
        }
    }

    /// A part did not come whole. Those that were fetched ahead of it are good all the same, unless the
    /// bytes have changed.
    fn falter(&mut self, error: &FetchError) {
        tracing::debug!(%error, position = self.position, "a part broke");
        match (error, &mut self.flight) {
            (FetchError::Changed(_), _) => self.flight = None,
            (FetchError::Failed(failure), Some(flight)) if !breaks(failure) => {
                flight.take_the_hint();
            }
            _ => {}
        }
    }

    /// Goes on after a part, with the one that follows it or whatever is missing before that.
    async fn read_on(&mut self) -> Result<(), FetchError> {
        // Its slot is needed for the next one.
        self.reading = None;
        if let Some(flight) = &mut self.flight
            && flight.begins_at() == Some(self.position)
        {
            self.reading = flight.take_first().map(Reading::Part);
            return Ok(());
        }
        let mut opened = self.open_missing().await;
        if let Err(FetchError::Failed(failure)) = &opened
            && !breaks(failure)
            && self.flight.take().is_some()
        {
            // The connections beside it may be what it was refused for.
            opened = self.open_missing().await;
        }
        match opened {
            Err(FetchError::Failed(failure)) => self.reconnect(failure).await,
            opened => opened,
        }
    }

    /// Asks for what comes next and was not fetched ahead.
    async fn open_missing(&mut self) -> Result<(), FetchError> {
        let end = self.flight.as_ref().and_then(Flight::begins_at);
        let part = Part {
            start: self.position,
            end,
        };
        let identity = &self.head.identity;
        let opened = self
            .fetcher
            .part(&self.target, identity, part, None)
            .await?;
        self.head.identity.total = opened.head.identity.total;
        let body = opened.body;
        self.reading = Some(match end {
            Some(end) => Reading::Gap { body, end },
            None => Reading::Rest(body),
        });
        Ok(())
    }

    /// Another connection for the rest, or the failure if that cannot help.
    async fn reconnect(&mut self, mut failure: Failure) -> Result<(), FetchError> {
        // Its slot is needed for the next one.
        self.reading = None;
        let identity = &self.head.identity;
        if self.position == 0 || !identity.can_be_resumed() || self.is_whole() {
            return Err(failure.into());
        }
        // Whatever comes of it, the origin has been asked.
        while breaks(&failure)
            && let Some(pause) = self.reconnects.next(self.position)
        {
            tracing::debug!(%failure, position = self.position, "going on where the connection broke");
            sleep(pause).await;
            match self.open_missing().await {
                Err(FetchError::Failed(next)) => {
                    failure = Failure {
                        postponed: false,
                        ..next
                    };
                }
                opened => return opened,
            }
        }
        Err(failure.into())
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("head", &self.head)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Reconnects {
    /// How long to wait before the next one, if there may be one.
    fn next(&mut self, position: u64) -> Option<Duration> {
        if position - self.since >= PROGRESS_BYTES {
            *self = Self {
                count: 0,
                since: position,
            };
        }
        if self.count == MAX_RECONNECTS {
            return None;
        }
        let pause = FIRST_PAUSE * 2_u32.pow(self.count);
        self.count += 1;
        Some(rand::rng().random_range(pause / 2..=pause))
    }
}

/// Whether a failure is one of the connection, which another one may not have.
fn breaks(failure: &Failure) -> bool {
    matches!(
        failure.code,
        FailureCode::ConnectionLost
            | FailureCode::IncompleteBody
            | FailureCode::Stalled
            | FailureCode::ConnectFailed
            | FailureCode::ConnectTimeout
            | FailureCode::ResponseTimeout
    )
}
