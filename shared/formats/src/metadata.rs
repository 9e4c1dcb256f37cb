//! What the bytes of a media say about it beside their type: how large its picture is, how long it
//! lasts. Nothing but headers is looked at, and of whatever they claim no more than some bytes, some
//! reads and some seconds come of it.

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
mod iso_media;

use byte_window::Window;

/// How often storage is asked for bytes behind the head, and for how many at most each time.
const MAX_READS: usize = 8;
const READ_BYTES: u64 = 128 * 1024;
/// How many files are looked at at once; each may take some 2 MiB.
const MAX_AT_ONCE: usize = 4;
/// How long one file may take, the wait for its turn included.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Whoever claims to last longer lies: ten years.
const LONGEST: Duration = Duration::from_hours(3652 * 24);

static TURNS: Semaphore = Semaphore::const_new(MAX_AT_ONCE);

/// What is looked for, by the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Picture,
    MpegAudio,
    /// Any other sound or video.
    Stream,
}

impl Kind {
    fn of(mime: &str) -> Option<Self> {
        match mime.split_once('/')? {
            ("image", _) => Some(Self::Picture),
            ("audio", "mpeg" | "mp3" | "mpeg3" | "x-mp3" | "x-mpeg") => Some(Self::MpegAudio),
            ("audio" | "video", _) | ("application", "ogg" | "mp4") => Some(Self::Stream),
            _ => None,
        }
    }
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("a reader of headers broke down: {0}")]
    Reader(#[from] JoinError),
}

/// Reads what stored bytes of a type say. Whatever goes wrong is no more than nothing known.
pub async fn read(store: &Arc<dyn BlobStore>, sealed: &StoredBlob, mime: &str) -> Option<Metadata> {
    let kind = Kind::of(mime)?;
    let found = match timeout(TIME_LIMIT, look(store, sealed, kind)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(%error, blob = %sealed.blob_id, "the metadata could not be read");
            return None;
        }
        Err(_) => {
            tracing::warn!(blob = %sealed.blob_id, "the metadata was not read within {TIME_LIMIT:?}");
            return None;
        }
    };
    Some(found).filter(|found| *found != Metadata::default())
}

/// Reads what bytes of a type say that are at hand from the first to the last.
pub fn read_whole(bytes: Bytes, mime: &str) -> Option<Metadata> {
    let size = bytes.len() as u64;
    match File::new(bytes, size, Kind::of(mime)?).step() {
        Step::Found(found) => Some(found).filter(|found| *found != Metadata::default()),
        // There is nothing more to read.
        Step::Read(_) => None,
    }
}

async fn look(
    store: &Arc<dyn BlobStore>,
    sealed: &StoredBlob,
    kind: Kind,
) -> Result<Metadata, ReadError> {
    let key = BlobKey::of(sealed.blob_id);
    // Nobody closes it.
    let mut turn = TURNS.acquire().await.ok();
    let mut file = File::new(sealed.head.clone().into(), sealed.size, kind);
    loop {
        let step;
        // The turn goes with it: if a reader hangs, no more of them do than there are turns.
        (file, turn, step) = spawn_blocking(move || {
            let step = file.step();
            (file, turn, step)
        })
        .await?;
        match step {
            Step::Found(found) => return Ok(found),
            Step::Read(range) => {
                let pieces: Vec<Bytes> =
                    store.read(&key, range.clone()).await?.try_collect().await?;
                file.window.add(range.start, pieces.concat().into());
            }
        }
    }
}

/// A file that is being looked at. It asks for bytes and does not fetch them itself.
struct File {
    window: Window,
    kind: Kind,
    reads: usize,
}

/// What comes of a look at the bytes at hand.
enum Step {
    /// That is all.
    Found(Metadata),
    /// These bytes are needed as well.
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
            Kind::Picture => return Step::Found(picture(self.window.from(0))),
            kind => containers::read(&self.window, kind == Kind::MpegAudio),
        };
        match self.window.missed().filter(|_| self.reads < MAX_READS) {
            Some(start) => {
                self.reads += 1;
                let end = start.saturating_add(READ_BYTES).min(self.window.size());
                Step::Read(start..end)
            }
            None => Step::Found(found),
        }
    }
}

/// Reads the head of a picture. The rest of it is never looked at.
fn picture(head: &[u8]) -> Metadata {
    let dimensions = imagesize::blob_size(head).ok().and_then(|size| {
        Dimensions::new(
            u32::try_from(size.width).ok()?,
            u32::try_from(size.height).ok()?,
        )
    });
    Metadata {
        dimensions,
        duration: None,
    }
}

/// How long so many units last, to the millisecond, if that can be.
fn seconds(units: u64, in_a_second: u64) -> Option<Duration> {
    let (units, rate) = (u128::from(units), u128::from(in_a_second));
    let milliseconds = (units * 1000 + rate / 2).checked_div(rate)?;
    let duration = Duration::from_millis(u64::try_from(milliseconds).ok()?);
    (duration > Duration::ZERO && duration <= LONGEST).then_some(duration)
}

#[cfg(test)]
mod tests;
