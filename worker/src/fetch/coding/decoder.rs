//! Undoes content codings while bytes come, and limits what may become of them.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use media_domain::job::{Failure, FailureCode, arguments::redact_url};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio_util::io::StreamReader;
use url::Url;

use super::{super::body::RawBody, Coding};

/// The most bytes that are decoded at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// How many times as large as the coded bytes the decoded ones may be, once there are more of them than
/// [`FREE_BYTES`].
const MAX_RATIO: u64 = 100;
const FREE_BYTES: u64 = 4 * 1024 * 1024;
/// How many more coded bytes than decoded ones there may be: a coding may not go on without end and
/// bring nothing.
const MAX_OVERHEAD: u64 = 1024 * 1024;
/// The largest window of zstd, as a power of two: 8 MiB, as RFC 9659 has it.
const MAX_ZSTD_WINDOW: u32 = 23;

type Reader = Pin<Box<dyn AsyncRead + Send>>;
type BufferedReader = Pin<Box<dyn AsyncBufRead + Send>>;

/// Decodes a body.
pub(in crate::fetch) struct Decoder {
    url: Url,
    reader: State,
    coded: Arc<AtomicU64>,
    decoded: u64,
}

enum State {
    /// No byte was read yet; the codings to undo, the last one first.
    New(BufferedReader, Vec<Coding>),
    Open(Reader),
    Ended,
}

impl Decoder {
    /// A decoder that undoes codings, in this order.
    pub(in crate::fetch) fn new(url: Url, body: RawBody, codings: Vec<Coding>) -> Self {
        let coded = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&coded);
        let chunks = stream::unfold((body, counter), |(mut body, counter)| async move {
            let chunk = body.next().await.map_err(io::Error::other).transpose()?;
            if let Ok(chunk) = &chunk {
                counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
            Some((chunk, (body, counter)))
        });
        Self {
            url,
            reader: State::New(Box::pin(StreamReader::new(Box::pin(chunks))), codings),
            coded,
            decoded: 0,
        }
    }

    /// The next decoded bytes, or nothing at the end.
    pub(in crate::fetch) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut block = BytesMut::with_capacity(BLOCK_BYTES);
        match self.read(&mut block).await {
            Ok(0) => {
                self.reader = State::Ended;
                Ok(None)
            }
            Ok(_) => {
                self.decoded += block.len() as u64;
                self.check_limits()?;
                Ok(Some(block.freeze()))
            }
            Err(error) => {
                self.reader = State::Ended;
                Err(self.failure(error))
            }
        }
    }

    async fn read(&mut self, block: &mut BytesMut) -> io::Result<usize> {
        loop {
            match &mut self.reader {
                State::Open(reader) => return reader.read_buf(block).await,
                State::Ended => return Ok(0),
                State::New(..) => {}
            }
            if let State::New(mut body, codings) = std::mem::replace(&mut self.reader, State::Ended)
            {
                // An empty body has nothing to undo.
                if body.fill_buf().await?.is_empty() {
                    return Ok(0);
                }
                self.reader = State::Open(open(body, codings).await?);
            }
        }
    }

    fn check_limits(&self) -> Result<(), Failure> {
        let coded = self.coded.load(Ordering::Relaxed);
        let url = redact_url(&self.url);
        if self.decoded > FREE_BYTES && self.decoded / MAX_RATIO > coded {
            return Err(Failure::new(
                FailureCode::TooLarge,
                format!(
                    "{url} sent bytes in a coding that become more than {MAX_RATIO} times as many; the origin has to send them without it"
                ),
            ));
        }
        if coded > self.decoded.saturating_mul(2) + MAX_OVERHEAD {
            return Err(Failure::new(
                FailureCode::InvalidResponse,
                format!("{url} sent bytes in a coding that hardly become any"),
            ));
        }
        Ok(())
    }

    fn failure(&self, error: io::Error) -> Failure {
        let url = redact_url(&self.url);
        let kind = error.kind();
        match error
            .into_inner()
            .map(<dyn std::error::Error + Send + Sync>::downcast::<Failure>)
        {
            // Of the connection, passed on.
            Some(Ok(failure)) => *failure,
            _ if kind == io::ErrorKind::UnexpectedEof => Failure::new(
                FailureCode::IncompleteBody,
                format!("{url} ended its answer before all bytes of its coding had come"),
            ),
            _ => Failure::new(
                FailureCode::InvalidResponse,
                format!("{url} sent bytes that are not in the coding that its answer names"),
            ),
        }
    }
}

async fn open(mut body: BufferedReader, codings: Vec<Coding>) -> io::Result<Reader> {
    let mut opened: Option<Reader> = None;
    for coding in codings {
        if let Some(reader) = opened.take() {
            body = Box::pin(BufReader::with_capacity(BLOCK_BYTES, reader));
        }
        // The reader moves into the next decoder.
        let source = std::mem::replace(&mut body, Box::pin(tokio::io::empty()));
        opened = Some(decode(source, coding).await?);
    }
    Ok(opened.unwrap_or_else(|| Box::pin(body)))
}

async fn decode(mut body: BufferedReader, coding: Coding) -> io::Result<Reader> {
    Ok(match coding {
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(body);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        // RFC 9110 §8.4.1.2: some send the bare stream instead of one within zlib.
        Coding::Deflate if is_zlib(body.fill_buf().await?) => Box::pin(ZlibDecoder::new(body)),
        Coding::Deflate => Box::pin(DeflateDecoder::new(body)),
        Coding::Brotli => Box::pin(BrotliDecoder::new(body)),
        Coding::Zstd => {
            let window = [DParameter::window_log_max(MAX_ZSTD_WINDOW)];
            let mut decoder = ZstdDecoder::with_params(body, &window);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        // Refused before; see `to_undo`.
        Coding::Unsupported => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// RFC 1950 §2.2.
fn is_zlib(head: &[u8]) -> bool {
    match head {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0
        }
        [method] => method & 0x8f == 8,
        [] => true,
    }
}
