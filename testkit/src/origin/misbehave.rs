//! What each path does wrong.

use std::{io, time::Duration};

use tokio::{io::AsyncWriteExt as _, time::sleep};

use super::{Connection, Request, ranges, until_closed};

/// Half of what the broken answers promise, and what the endless ones send at once.
const HALF: usize = 64 * 1024;
/// Between two bytes of a slow answer.
const SLOW: Duration = Duration::from_secs(1);
/// What was sent has arrived by then; a reset would overtake it.
pub(super) const DELIVERY: Duration = Duration::from_millis(100);

/// A whole gzip member that grows to a mebibyte of zeros: `MEMBER_HEAD`, so many zeros,
/// `MEMBER_TAIL`. Members can be put one after the other (RFC 1952 §2.2).
const MEMBER_HEAD: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\
    \xed\xc1\x31\x01\0\0\0\xc2\xa0\xf5\x4f\x6d\x08\x5f\xa0";
const MEMBER_ZEROS: usize = 1016;
const MEMBER_TAIL: &[u8] = b"\x3e\x03\x1c\xea\x38\xa7\0\0\x10\0";
/// How many mebibytes the bomb grows to, from about as many kibibytes.
const BOMB: usize = 1024;

/// `hello`, as gzip stores it.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x05\0\xfa\xffhello\x86\xa6\x106\x05\0\0\0";

/// HTTP/2 (RFC 9113 §6): SETTINGS, RST_STREAM of stream 1 (REFUSED_STREAM), GOAWAY
/// (HTTP_1_1_REQUIRED).
const HTTP2: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x04\x03\0\0\0\0\x01\0\0\0\x07\
    \0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0d";

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What is sent, and what happens then.
pub(super) struct Plan {
    answer: Vec<u8>,
    then: Then,
}

pub(super) enum Then {
    /// The connection is closed as it should be.
    Close,
    /// Nothing more will be sent, but the connection stays until the client closes it.
    HalfClose,
    /// The connection is reset.
    Reset,
    /// Nothing until the client closes it.
    Wait,
    /// The same again after each pause, until the client closes it.
    Repeat(Vec<u8>, Duration),
}

/// Sends this; then that happens.
pub(super) fn plan(answer: impl Into<Vec<u8>>, then: Then) -> Plan {
    let answer = answer.into();
    Plan { answer, then }
}

/// Answers one request as badly as its path says.
pub(super) async fn answer<C: Connection>(mut stream: C) -> io::Result<()> {
    let request = Request::read(&mut stream).await?;
    let Plan { answer, then } = plan_for(&request);
    stream.write_all(&answer).await?;
    stream.flush().await?;
    match then {
        Then::Close => stream.shutdown().await,
        Then::HalfClose => {
            stream.shutdown().await?;
            until_closed(stream).await
        }
        Then::Reset => {
            sleep(DELIVERY).await;
            stream.tcp().set_zero_linger()
        }
        Then::Wait => until_closed(stream).await,
        Then::Repeat(block, pause) => loop {
            sleep(pause).await;
            stream.write_all(&block).await?;
            stream.flush().await?;
        },
    }
}

fn plan_for(request: &Request) -> Plan {
    let (path, query) = request.target();
    let (command, argument) = path.split_once('/').unwrap_or((path, ""));
    match command {
        "hang" => plan("", Then::Wait),
        "close" => plan("", Then::Close),
        "reset-head" => plan("", Then::Reset),
        "stall" => plan(half(), Then::Wait),
        "short" => plan(half(), Then::Close),
        "half-closed" => plan(half(), Then::HalfClose),
        "reset" => plan(half(), Then::Reset),
        "trickle" => plan(promise(), Then::Repeat(b"x".into(), SLOW)),
        "trickle-head" => plan(
            "HTTP/1.1 200 OK\r\nX-Slow: ",
            Then::Repeat(b"x".into(), SLOW),
        ),
        "endless" => {
            let chunk = format!("{HALF:x}\r\n{}\r\n", "x".repeat(HALF));
            plan(CHUNKED, Then::Repeat(chunk.into(), Duration::ZERO))
        }
        "endless-head" => plan(
            "HTTP/1.1 200 OK\r\nX-Endless: ",
            Then::Repeat(vec![b'x'; HALF], Duration::ZERO),
        ),
        "flood" => {
            let many = format!("HTTP/1.1 {argument} As told\r\n\r\n").repeat(1000);
            plan("", Then::Repeat(many.into(), Duration::ZERO))
        }
        "informational" => plan("HTTP/1.1 103 Early Hints\r\n\r\n", Then::Close),

        "cut-chunks" => plan(format!("{CHUNKED}5\r\nhello\r\n"), Then::Close),
        "bad-chunks" => plan(format!("{CHUNKED}nonsense\r\nhello"), Then::Close),
        "not-http" => plan("SSH-2.0-OpenSSH_9.2p1\r\n", Then::Close),
        "http-0.9" => plan("<html>told</html>\r\n", Then::Close),
        "http2" => plan(HTTP2, Then::Close),
        "status-line" => plan(
            "HTTP/1.1 two-hundred OK\r\nContent-Length: 0\r\n\r\n",
            Then::Close,
        ),
        "length" => plan(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {argument}\r\n\r\nhello"),
            Then::Close,
        ),
        "two-lengths" => plan(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
            Then::Close,
        ),
        "length-and-chunks" => plan(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n",
            Then::Close,
        ),
        // More than it says: what follows is an answer that nobody asked for.
        "long" => plan(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
             HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
            Then::Close,
        ),
        "long-later" => plan(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            Then::Repeat(b"more".into(), Duration::from_millis(2)),
        ),
        "range" => ranges::wrong_plan(argument, request),

        command => whole_plan(command, argument, query, request),
    }
}

/// Answers that are whole, whatever else may be wrong with them.
fn whole_plan(command: &str, argument: &str, query: &str, request: &Request) -> Plan {
    match command {
        "large-head" => {
            let large = format!("X-Large: {}\r\n", "x".repeat(64 * 1024));
            reply("200 OK", &large, b"told")
        }
        "many-headers" => reply("200 OK", &"X-Many: x\r\n".repeat(1000), b"told"),
        "gzip" => reply("200 OK", "Content-Encoding: gzip\r\n", GZIP),
        "bomb" => {
            let member = [MEMBER_HEAD, &[0; MEMBER_ZEROS], MEMBER_TAIL].concat();
            reply("200 OK", "Content-Encoding: gzip\r\n", &member.repeat(BOMB))
        }
        "te-gzip" => {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
            let chunk = [format!("{:x}\r\n", GZIP.len()).as_bytes(), GZIP].concat();
            plan(
                [head.as_bytes(), &chunk, b"\r\n0\r\n\r\n"].concat(),
                Then::Close,
            )
        }
        "two-codings" => {
            let headers = "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n";
            reply("200 OK", headers, GZIP)
        }
        "redirect" if argument.is_empty() => redirect("302", query),
        "redirect" => redirect(argument, query),
        "loop" => redirect("302", "/loop"),
        "hops" => match argument.parse().unwrap_or(0_u32).checked_sub(1) {
            Some(hops) => redirect("302", &format!("/hops/{hops}?{query}")),
            None => redirect("302", query),
        },
        "chain" => match argument.parse::<usize>().unwrap_or_default() {
            0 => reply("200 OK", "", b"told"),
            left => redirect("302", &format!("/chain/{}", left - 1)),
        },
        "hints" => {
            // Headers that name another place without being a redirect.
            let hints = [
                format!("Location: {query}\r\n"),
                format!("Content-Location: {query}\r\n"),
                format!("Refresh: 0; url={query}\r\n"),
                format!("Link: <{query}>; rel=preload\r\n"),
                format!("Alt-Svc: h2=\"{query}\"; ma=60\r\n"),
            ];
            reply("200 OK", &hints.concat(), b"told")
        }
        "echo" => reply("200 OK", "", request.0.as_bytes()),
        "retry-after" => reply("503 Service Unavailable", "Retry-After: 3600\r\n", b""),
        "status" => reply(&format!("{argument} As told"), "", b"told"),
        _ => reply("404 Not Found", "", b"told"),
    }
}

/// The head of an answer of twice `HALF`.
fn promise() -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", HALF * 2)
}

fn half() -> String {
    promise() + &"x".repeat(HALF)
}

fn redirect(status: &str, location: &str) -> Plan {
    let headers = format!("Location: {location}\r\nSet-Cookie: session=s3cr3t; Path=/\r\n");
    reply(&format!("{status} As told"), &headers, b"")
}

/// An answer as it should be.
pub(super) fn reply(status: &str, headers: &str, body: &[u8]) -> Plan {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    );
    plan([head.as_bytes(), body].concat(), Then::Close)
}
