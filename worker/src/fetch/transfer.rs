//! The bytes of a URL in order, over several connections. A connection that breaks is replaced by one that
//! resumes where it broke.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::sleep;

use super::{
    answer::{Answer, FetchError},
    body::Body,
    content_identity::{ByteRange, ContentIdentity},
    error::{ExchangeError, FetchFailure},
    fetcher::Fetcher,
    response_head::Head,
    target::Target,
};

mod concurrency_controller;
mod parallel_ranges;
mod prefetch;
mod reconnect;

use parallel_ranges::ParallelRanges;
use prefetch::Prefetch;
use reconnect::ReconnectLimit;

/// A transfer from an origin.
pub(crate) struct Transfer {
    fetcher: Fetcher,
    target: Target,
    head: Head,
    /// The current source of bytes; nothing between two connections.
    source: Option<Source>,
    /// The additional connections, if the origin serves ranges.
    parallel: Option<ParallelRanges>,
    /// Offset of the next byte in the file.
    position: u64,
    reconnects: ReconnectLimit,
}

/// The source of the reader's bytes.
enum Source {
    /// A connection that serves the rest of the file.
    Rest(Body),
    /// A range that was prefetched.
    Prefetched(Prefetch),
    /// A connection that serves the bytes before the first prefetched range.
    Gap { body: Body, end: u64 },
}

impl Transfer {
    /// Reads an answer with the whole content of a target.
    pub(crate) fn new(fetcher: &Fetcher, target: &Target, answer: Answer) -> Self {
        Self::at(fetcher, target, answer, 0)
    }

    /// Resumes content at an offset before its end.
    pub(crate) async fn resume(
        fetcher: &Fetcher,
        target: &Target,
        identity: &ContentIdentity,
        offset: u64,
    ) -> Result<Self, FetchError> {
        let range = ByteRange {
            start: offset,
            end: None,
        };
        let answer = fetcher.open_range(target, identity, range, None);
        Ok(Self::at(fetcher, target, answer.await?, offset))
    }

    fn at(fetcher: &Fetcher, target: &Target, answer: Answer, position: u64) -> Self {
        Self {
            fetcher: fetcher.clone(),
            target: target.clone(),
            parallel: ParallelRanges::new(fetcher, answer.final_target, &answer.head),
            head: answer.head,
            source: Some(Source::Rest(answer.body)),
            position,
            reconnects: ReconnectLimit::new(position),
        }
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Whether the announced number of bytes has come.
    pub(crate) fn is_complete(&self) -> bool {
        self.head.identity.total == Some(self.position)
    }

    /// Returns the next bytes, or nothing at the end of the file.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            self.adjust_connections();
            let asked = Instant::now();
            let read = match &mut self.source {
                Some(Source::Rest(body) | Source::Gap { body, .. }) => {
                    body.next().await.map_err(FetchError::from)
                }
                Some(Source::Prefetched(prefetch)) => prefetch.next().await,
                None => Ok(None),
            };
            match read {
                Ok(Some(bytes)) => return self.advance(bytes, asked.elapsed()).map(Some),
                Ok(None) if self.is_at_end() => return Ok(None),
                Ok(None) if self.source_end() == Some(self.position) => self.open_next().await?,
                Ok(None) => {
                    let failure = FetchFailure::new(&self.head.url, ExchangeError::Incomplete);
                    self.reconnect(failure).await?;
                }
                Err(error) if matches!(self.source, Some(Source::Prefetched(_))) => {
                    self.on_part_failed(&error);
                    self.open_next().await?;
                }
                Err(FetchError::Failed(failure)) => self.reconnect(failure).await?,
                Err(changed) => return Err(changed),
            }
        }
    }

    fn adjust_connections(&mut self) {
        let is_receiving = match &self.source {
            Some(Source::Prefetched(prefetch)) => !prefetch.is_finished(),
            Some(_) => true,
            None => return,
        };
        let end = self.source_end();
        if let Some(parallel) = &mut self.parallel {
            parallel.adjust(&self.head, self.position, end, is_receiving);
        }
    }

    /// Returns where the current source ends, if that is before the end of the file.
    fn source_end(&self) -> Option<u64> {
        match &self.source {
            Some(Source::Prefetched(prefetch)) => Some(prefetch.end),
            Some(Source::Gap { end, .. }) => Some(*end),
            _ => None,
        }
    }

    /// Advances by bytes of the current source, and switches to the first prefetched range where that begins.
    fn advance(&mut self, mut bytes: Bytes, waited: Duration) -> Result<Bytes, FetchError> {
        let end = self.position + bytes.len() as u64;
        if let Some(parallel) = &mut self.parallel {
            // Prefetches have counted their bytes already.
            let uncounted = match &self.source {
                Some(Source::Rest(_) | Source::Gap { .. }) => bytes.len(),
                _ => 0,
            };
            parallel.record(waited, uncounted);
            if let Some(next) = parallel.first_start()
                && end >= next
            {
                let serves_rest = matches!(self.source, Some(Source::Rest(_)));
                if serves_rest && !parallel.first_has_begun() {
                    // The current connection is faster than the additional ones.
                    self.parallel = None;
                    self.position = end;
                    return Ok(bytes);
                }
                bytes.truncate(usize::try_from(next - self.position).unwrap_or(usize::MAX));
                self.source = parallel.take_first().map(Source::Prefetched);
                self.position = next;
                return Ok(bytes);
            }
        }
        let limit = self.source_end().or(self.head.identity.total);
        if limit.is_some_and(|limit| end > limit) {
            return Err(FetchError::Changed(None));
        }
        self.position = end;
        Ok(bytes)
    }

    fn is_at_end(&self) -> bool {
        let is_unknown = self.head.identity.total.is_none();
        self.is_complete() || (is_unknown && matches!(self.source, Some(Source::Rest(_))))
    }

    /// Handles a prefetch that failed. The ranges after it remain valid, unless the content has changed.
    fn on_part_failed(&mut self, error: &FetchError) {
        let FetchError::Failed(failure) = error else {
            self.parallel = None;
            return;
        };
        tracing::debug!(error = %failure.error, position = self.position, "a range broke");
        if let Some(parallel) = &mut self.parallel
            && !failure.is_connection_failure()
        {
            parallel.cap_connections();
        }
    }

    /// Continues after a range: with a prefetched one that follows it, or with the bytes before the next one.
    async fn open_next(&mut self) -> Result<(), FetchError> {
        // Closes the connection, whose permit may be needed for the next one.
        self.source = None;
        if let Some(parallel) = &mut self.parallel
            && parallel.first_start() == Some(self.position)
        {
            self.source = parallel.take_first().map(Source::Prefetched);
            return Ok(());
        }
        let mut opened = self.open_missing().await;
        if let Err(FetchError::Failed(failure)) = &opened
            && !failure.is_connection_failure()
            && self.parallel.take().is_some()
        {
            // The origin may have refused it because of the additional connections.
            opened = self.open_missing().await;
        }
        match opened {
            Err(FetchError::Failed(failure)) => self.reconnect(failure).await,
            opened => opened,
        }
    }

    /// Requests the bytes from the current position to the first prefetched range.
    async fn open_missing(&mut self) -> Result<(), FetchError> {
        let range = ByteRange {
            start: self.position,
            end: self.parallel.as_ref().and_then(ParallelRanges::first_start),
        };
        let identity = &self.head.identity;
        let answer = self.fetcher.open_range(&self.target, identity, range, None);
        let Answer { head, body, .. } = answer.await?;
        self.head.identity.total = head.identity.total;
        self.source = Some(match range.end {
            Some(end) => Source::Gap { body, end },
            None => Source::Rest(body),
        });
        Ok(())
    }

    /// Opens new connections until one serves the next bytes. Returns the last failure if none does.
    async fn reconnect(&mut self, mut failure: FetchFailure) -> Result<(), FetchError> {
        // Closes the connection, whose permit may be needed for the next one.
        self.source = None;
        if self.position == 0 || !self.head.identity.can_be_resumed() || self.is_complete() {
            return Err(failure.into());
        }
        while failure.is_connection_failure()
            && let Some(delay) = self.reconnects.next_delay(self.position)
        {
            tracing::debug!(error = %failure.error, position = self.position, "resuming after a broken connection");
            sleep(delay).await;
            match self.open_missing().await {
                Err(FetchError::Failed(next)) => {
                    // The origin has been asked before: the attempt counts.
                    failure = FetchFailure {
                        is_postponed: false,
                        ..next
                    };
                }
                opened => return opened,
            }
        }
        Err(failure.into())
    }
}
