//! Parses forms (`multipart/form-data`, RFC 7578) as a stream of parts, with bounded memory. Accepts folded headers,
//! spaces before colons, bare line feeds in part headers, and all forms of names that [`content_disposition`] parses.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use media_domain::{
    content_disposition::{self, FormPart},
    header_parameters::Parameterized,
};
use memchr::memmem::Finder;

/// The largest preamble, and the largest headers of one part, in bytes.
pub(crate) const MULTIPART_OVERHEAD_LIMIT: u64 = 64 * 1024;
/// The longest boundary; RFC 2046 §5.1.1 allows 70.
const MAX_BOUNDARY_BYTES: usize = 256;

/// A form that cannot be parsed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MultipartError {
    /// The form ends before its last boundary.
    #[error("the form ended before its last boundary")]
    Incomplete,
    /// The bytes arrived too slowly.
    #[error("{0}")]
    TooSlow(String),
    /// The form has too many bytes outside its parts.
    #[error("the form has too many bytes outside its fields")]
    OverheadTooLarge,
    /// The form is larger than the limit.
    #[error("the form is larger than the {0} bytes allowed")]
    TooLarge(u64),
    /// A boundary is not followed by a line break.
    #[error("a boundary of the form is followed by other bytes")]
    BadBoundary,
}

impl From<io::Error> for MultipartError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TooSlow(error.to_string()),
            _ => Self::Incomplete,
        }
    }
}

/// The headers with digests of a content (RFC 9530).
pub(crate) const DIGEST_HEADERS: [&str; 2] = ["repr-digest", "content-digest"];

/// The relevant headers of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartHead {
    /// The field, and the file if it is one.
    pub(crate) names: FormPart,
    /// `Content-Type`, with parameters.
    pub(crate) content_type: Option<String>,
    /// The lines of `Repr-Digest` and `Content-Digest`, by the names of the headers in lower case.
    pub(crate) digests: Vec<(String, Vec<u8>)>,
}

/// A form that is being parsed.
pub(crate) struct Multipart {
    chunks: BoxStream<'static, io::Result<Bytes>>,
    buffer: BytesMut,
    delimiter: Finder<'static>,
    position: Position,
    /// The number of bytes that may still arrive.
    left: u64,
    limit: u64,
}

/// The position of the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Before the first boundary.
    Preamble,
    /// Within a part.
    Part,
    /// After a boundary.
    Boundary,
    /// After the last boundary.
    End,
}

/// Reads the boundary from a `Content-Type`: quoted or not, of any characters. None if it is missing, empty or too
/// long.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let parsed = Parameterized::parse(content_type.as_bytes());
    let boundary = String::from_utf8(parsed.get("boundary")?.to_vec()).ok()?;
    (!boundary.is_empty() && boundary.len() <= MAX_BOUNDARY_BYTES).then_some(boundary)
}

/// Whether a `Content-Type` is `multipart/form-data`.
pub(crate) fn is_form(content_type: &str) -> bool {
    Parameterized::parse(content_type.as_bytes())
        .value
        .eq_ignore_ascii_case(b"multipart/form-data")
}

impl Multipart {
    /// Creates a parser of a form of at most `limit` bytes.
    pub(crate) fn new(
        chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        boundary: &str,
        limit: u64,
    ) -> Self {
        let delimiter = format!("\r\n--{boundary}");
        Self {
            chunks: chunks.boxed(),
            // A delimiter begins with a line break, which the first one may lack.
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter: Finder::new(delimiter.as_bytes()).into_owned(),
            position: Position::Preamble,
            left: limit,
            limit,
        }
    }

    /// Skips to the next part. None after the last.
    pub(crate) async fn next_part(&mut self) -> Result<Option<PartHead>, MultipartError> {
        if self.position == Position::Preamble {
            self.skip_preamble().await?;
        }
        while self.chunk().await?.is_some() {}
        if self.position == Position::End || self.is_last_boundary().await? {
            self.position = Position::End;
            return Ok(None);
        }
        let headers = self.read_headers().await?;
        self.position = Position::Part;
        Ok(Some(PartHead::parse(&headers)))
    }

    /// Returns the next bytes of the current part. None at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        loop {
            if self.position != Position::Part {
                return Ok(None);
            }
            if let Some(at) = self.delimiter.find(&self.buffer) {
                let rest = self.buffer.split_to(at).freeze();
                self.buffer.advance(self.delimiter.needle().len());
                self.position = Position::Boundary;
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
            // A delimiter may begin at the end of the buffer.
            let content = self.buffer.len() - self.partial_delimiter_len();
            if content > 0 {
                return Ok(Some(self.buffer.split_to(content).freeze()));
            }
            self.fill().await?;
        }
    }

    /// The number of bytes at the end of the buffer that may begin a delimiter.
    fn partial_delimiter_len(&self) -> usize {
        let needle = self.delimiter.needle();
        let max_len = (needle.len() - 1).min(self.buffer.len());
        let tail = &self.buffer[self.buffer.len() - max_len..];
        memchr::memchr_iter(b'\r', tail)
            .map(|begin| &tail[begin..])
            .find(|end| needle.starts_with(end))
            .map_or(0, <[u8]>::len)
    }

    async fn skip_preamble(&mut self) -> Result<(), MultipartError> {
        let mut skipped = 0;
        loop {
            if let Some(at) = self.delimiter.find(&self.buffer) {
                self.buffer.advance(at + self.delimiter.needle().len());
                self.position = Position::Boundary;
                return Ok(());
            }
            let preamble = self.buffer.len() - self.partial_delimiter_len();
            self.buffer.advance(preamble);
            skipped += preamble as u64;
            if skipped > MULTIPART_OVERHEAD_LIMIT {
                return Err(MultipartError::OverheadTooLarge);
            }
            self.fill().await?;
        }
    }

    /// Reads the rest of a boundary's line. Returns whether it is the last boundary.
    async fn is_last_boundary(&mut self) -> Result<bool, MultipartError> {
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        if self.buffer.starts_with(b"--") {
            return Ok(true);
        }
        loop {
            // Spaces may follow (RFC 2046 §5.1.1).
            let line = self.buffer.iter().position(|byte| *byte == b'\n');
            let end = line.unwrap_or(self.buffer.len());
            let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
            if !self.buffer[..end].iter().all(is_blank) {
                return Err(MultipartError::BadBoundary);
            }
            if line.is_some() {
                self.buffer.advance(end + 1);
                return Ok(false);
            }
            if self.buffer.len() as u64 > MULTIPART_OVERHEAD_LIMIT {
                return Err(MultipartError::OverheadTooLarge);
            }
            self.fill().await?;
        }
    }

    /// Reads the headers of a part, up to the empty line.
    async fn read_headers(&mut self) -> Result<Bytes, MultipartError> {
        let mut searched = 0;
        loop {
            if let Some((end, next)) = end_of_headers(&self.buffer, searched) {
                let headers = self.buffer.split_to(end).freeze();
                self.buffer.advance(next - end);
                return Ok(headers);
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.buffer.len() as u64 > MULTIPART_OVERHEAD_LIMIT {
                return Err(MultipartError::OverheadTooLarge);
            }
            self.fill().await?;
        }
    }

    /// Receives more bytes. Fails at the end of the body, which must not come before the last boundary.
    async fn fill(&mut self) -> Result<(), MultipartError> {
        match self.chunks.next().await {
            Some(Ok(chunk)) => {
                self.left = self
                    .left
                    .checked_sub(chunk.len() as u64)
                    .ok_or(MultipartError::TooLarge(self.limit))?;
                self.buffer.extend_from_slice(&chunk);
                Ok(())
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(MultipartError::Incomplete),
        }
    }
}

/// Finds the end of the headers and the start of the content: the first empty line from an offset on.
fn end_of_headers(buffer: &[u8], from: usize) -> Option<(usize, usize)> {
    for begin in [&b"\r\n"[..], b"\n"] {
        if buffer.starts_with(begin) {
            return Some((0, begin.len()));
        }
    }
    memchr::memchr_iter(b'\n', &buffer[from..]).find_map(|at| {
        let end = from + at + 1;
        let rest = &buffer[end..];
        let empty = [&b"\r\n"[..], b"\n"];
        let line = empty.iter().find(|line| rest.starts_with(line))?;
        Some((end, end + line.len()))
    })
}

impl PartHead {
    fn parse(headers: &[u8]) -> Self {
        let mut head = Self::default();
        for line in unfolded(headers) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-disposition") && head.names.name.is_none() {
                head.names = content_disposition::form_part(value);
            } else if name.eq_ignore_ascii_case(b"content-type") && head.content_type.is_none() {
                head.content_type = Some(String::from_utf8_lossy(value).into_owned());
            } else if DIGEST_HEADERS
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
            {
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                head.digests.push((name, value.to_vec()));
            }
        }
        head
    }
}

/// Splits headers into lines, and joins folded ones (RFC 5322 §2.2.3).
fn unfolded(headers: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in headers.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match lines.last_mut() {
            Some(last) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                last.push(b' ');
                last.extend_from_slice(line.trim_ascii());
            }
            _ => lines.push(line.to_vec()),
        }
    }
    lines
}

#[cfg(test)]
mod tests;
