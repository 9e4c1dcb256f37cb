//! Reads the dimensions and the duration of media. Only headers are parsed, and the bytes, the reads and the time that
//! a file can take are limited, since its headers are untrusted.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tokio::{
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
    time::timeout,
};

use media_domain::{
    blob::{BlobKey, StoredBlob},
    media::{Dimensions, Metadata},
};
use media_storage::{BlobStore, StorageError};

mod byte_window;
mod containers;
mod image;
mod iso_media;

use byte_window::Window;

/// The maximum number of reads from storage beyond the head of one file.
const MAX_READS: usize = 8;
/// The maximum size of one read.
const READ_BYTES: u64 = 128 * 1024;
/// The maximum number of files that are parsed concurrently. Each may take some 2 MiB.
const MAX_CONCURRENT_FILES: usize = 4;
/// The time limit for one file, including the wait for a permit.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The longest duration that is believed: ten years.
const MAX_DURATION: Duration = Duration::from_hours(3652 * 24);

static PERMITS: Semaphore = Semaphore::const_new(MAX_CONCURRENT_FILES);

/// The way in which files of a type are parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Image,
    MpegAudio,
    /// Any other audio or video.
    Stream,
}

impl Kind {
    fn from_mime(mime: &str) -> Option<Self> {
        match mime.split_once('/')? {
            ("image", _) => Some(Self::Image),
            ("audio", "mpeg" | "mp3" | "mpeg3" | "x-mp3" | "x-mpeg") => Some(Self::MpegAudio),
            ("audio" | "video", _) | ("application", "ogg" | "mp4") => Some(Self::Stream),
            _ => None,
        }
    }
}

/// A failure to read the metadata.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the header parser failed: {0}")]
    Parser(#[from] JoinError),
}

/// Reads the metadata of a stored blob with a media type. Returns None if there is none; a failure is only logged.
pub async fn read(store: &Arc<dyn BlobStore>, blob: &StoredBlob, mime: &str) -> Option<Metadata> {
    let kind = Kind::from_mime(mime)?;
    let found = match timeout(TIME_LIMIT, parse_stored(store, blob, kind)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(%error, blob = %blob.blob_id, "the metadata could not be read");
            return None;
        }
        Err(_) => {
            tracing::warn!(blob = %blob.blob_id, "the metadata was not read within {TIME_LIMIT:?}");
            return None;
        }
    };
    Some(found).filter(|found| *found != Metadata::default())
}

/// Reads the metadata of a complete file in memory.
pub fn read_whole(bytes: Bytes, mime: &str) -> Option<Metadata> {
    let size = bytes.len() as u64;
    match File::new(bytes, size, Kind::from_mime(mime)?).step() {
        Step::Found(found) => Some(found).filter(|found| *found != Metadata::default()),
        // The file has no more bytes.
        Step::Read(_) => None,
    }
}

async fn parse_stored(
    store: &Arc<dyn BlobStore>,
    blob: &StoredBlob,
    kind: Kind,
) -> Result<Metadata, ReadError> {
    let key = BlobKey::of(blob.blob_id);
    // The semaphore is never closed.
    let mut permit = PERMITS.acquire().await.ok();
    let mut file = File::new(blob.head.clone().into(), blob.size, kind);
    loop {
        let step;
        // The task holds the permit, so that the number of hanging parsers stays limited.
        (file, permit, step) = spawn_blocking(move || {
            let step = file.step();
            (file, permit, step)
        })
        .await?;
        match step {
            Step::Found(found) => return Ok(found),
            Step::Read(range) => {
                let chunks: Vec<Bytes> =
                    store.read(&key, range.clone()).await?.try_collect().await?;
                file.window.add(range.start, chunks.concat().into());
            }
        }
    }
}

/// A file that is being parsed. It requests bytes and does no I/O itself.
struct File {
    window: Window,
    kind: Kind,
    reads: usize,
}

/// The result of parsing the available bytes.
enum Step {
    /// Parsing is complete.
    Found(Metadata),
    /// More bytes are needed, in this range.
    Read(Range<u64>),
}

impl File {
    fn new(head: Bytes, size: u64, kind: Kind) -> Self {
        Self {
            window: Window::new(head, size),
            kind,
            reads: 0,
        }
    }

    fn step(&mut self) -> Step {
        let found = match self.kind {
            Kind::Image => image::read(&self.window),
            kind => containers::read(&self.window, kind == Kind::MpegAudio),
        };
        match self
            .window
            .first_missing()
            .filter(|_| self.reads < MAX_READS)
        {
            Some(start) => {
                self.reads += 1;
                let end = start.saturating_add(READ_BYTES).min(self.window.size());
                Step::Read(start..end)
            }
            None => Step::Found(found),
        }
    }
}

/// Converts `units` of time, of which there are `units_per_second`, to a duration in whole milliseconds. Returns None
/// for zero and for implausible durations.
fn duration_of(units: u64, units_per_second: u64) -> Option<Duration> {
    let (units, rate) = (u128::from(units), u128::from(units_per_second));
    let milliseconds = (units * 1000 + rate / 2).checked_div(rate)?;
    let duration = Duration::from_millis(u64::try_from(milliseconds).ok()?);
    (duration > Duration::ZERO && duration <= MAX_DURATION).then_some(duration)
}

#[cfg(test)]
mod tests;
