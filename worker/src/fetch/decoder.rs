//! Removes content codings from a body while it comes, and limits the expansion.

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
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio_util::io::StreamReader;

use super::{coding::Coding, error::ExchangeError, raw_body::RawBody};

/// Maximum number of bytes that are decoded at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// Maximum ratio of decoded to coded bytes, once more than [`UNLIMITED_BYTES`] are decoded.
const MAX_RATIO: u64 = 100;
const UNLIMITED_BYTES: u64 = 4 * 1024 * 1024;
/// Maximum excess of coded over decoded bytes, so that an endless stream that decodes to nothing ends.
const MAX_OVERHEAD_BYTES: u64 = 1024 * 1024;
/// Maximum window of zstd as a power of two: 8 MiB (RFC 9659).
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

type Reader = Pin<Box<dyn AsyncRead + Send>>;
type BufferedReader = Pin<Box<dyn AsyncBufRead + Send>>;

/// Decodes a body.
pub(super) struct Decoder {
    reader: State,
    coded: Arc<AtomicU64>,
    decoded: u64,
}

enum State {
    /// No byte was read yet; the codings to remove, the last one first.
    New(BufferedReader, Vec<Coding>),
    Open(Reader),
    Ended,
}

impl Decoder {
    /// Creates a decoder that removes codings in this order.
    pub(super) fn new(body: RawBody, codings: Vec<Coding>) -> Self {
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
            reader: State::New(Box::pin(StreamReader::new(Box::pin(chunks))), codings),
            coded,
            decoded: 0,
        }
    }

    /// Returns the next decoded bytes, or nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ExchangeError> {
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
                Err(exchange_error(error))
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
                // An empty body has no coding.
                if body.fill_buf().await?.is_empty() {
                    return Ok(0);
                }
                self.reader = State::Open(open(body, codings).await?);
            }
        }
    }

    fn check_limits(&self) -> Result<(), ExchangeError> {
        let coded = self.coded.load(Ordering::Relaxed);
        if self.decoded > UNLIMITED_BYTES && self.decoded / MAX_RATIO > coded {
            return Err(ExchangeError::ExcessiveExpansion(MAX_RATIO));
        }
        if coded > self.decoded.saturating_mul(2) + MAX_OVERHEAD_BYTES {
            return Err(ExchangeError::ExcessiveOverhead);
        }
        Ok(())
    }
}

/// Returns the error of the body that the readers have passed on, or that of the coding.
fn exchange_error(error: io::Error) -> ExchangeError {
    match error.downcast::<ExchangeError>() {
        Ok(error) => error,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            ExchangeError::IncompleteCoding
        }
        Err(_) => ExchangeError::InvalidCoding,
    }
}

async fn open(mut body: BufferedReader, codings: Vec<Coding>) -> io::Result<Reader> {
    let mut opened: Option<Reader> = None;
    for coding in codings {
        if let Some(reader) = opened.take() {
            body = Box::pin(BufReader::with_capacity(BLOCK_BYTES, reader));
        }
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
        // RFC 9110 §8.4.1.2: some origins send the bare stream instead of one in the zlib format.
        Coding::Deflate if is_zlib(body.fill_buf().await?) => Box::pin(ZlibDecoder::new(body)),
        Coding::Deflate => Box::pin(DeflateDecoder::new(body)),
        Coding::Brotli => Box::pin(BrotliDecoder::new(body)),
        Coding::Zstd => {
            let window = [DParameter::window_log_max(MAX_ZSTD_WINDOW_LOG)];
            let mut decoder = ZstdDecoder::with_params(body, &window);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        // Refused by `to_remove`.
        Coding::Unsupported => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// Whether a stream begins with a zlib header (RFC 1950 §2.2).
fn is_zlib(head: &[u8]) -> bool {
    match head {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0
        }
        [method] => method & 0x8f == 8,
        [] => true,
    }
}
