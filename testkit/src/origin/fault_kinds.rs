//! The kinds of faults of the faulty origin: the plan for each path.

use std::time::Duration;

use super::{
    plan::{Plan, Then, plan, reply},
    range_faults,
    request::Request,
};

/// Half of the length that truncated responses announce, and the block size of endless ones, in bytes.
const HALF_BYTES: usize = 64 * 1024;
/// The pause between two bytes of a slow response.
const SLOW_INTERVAL: Duration = Duration::from_secs(1);

/// The start of a gzip member of one mebibyte of zeros, which consists of `MEMBER_HEAD`, `MEMBER_ZEROS` zero
/// bytes and `MEMBER_TAIL`. Members can be concatenated (RFC 1952 §2.2).
const MEMBER_HEAD: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\
    \xed\xc1\x31\x01\0\0\0\xc2\xa0\xf5\x4f\x6d\x08\x5f\xa0";
const MEMBER_ZEROS: usize = 1016;
const MEMBER_TAIL: &[u8] = b"\x3e\x03\x1c\xea\x38\xa7\0\0\x10\0";
/// The size of the decompressed gzip bomb in mebibytes; compressed it has about as many kibibytes.
const BOMB_MEBIBYTES: usize = 1024;

/// `hello`, compressed with gzip.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x05\0\xfa\xffhello\x86\xa6\x106\x05\0\0\0";

/// HTTP/2 (RFC 9113 §6): SETTINGS, RST_STREAM of stream 1 (REFUSED_STREAM), GOAWAY
/// (HTTP_1_1_REQUIRED).
const HTTP2: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x04\x03\0\0\0\0\x01\0\0\0\x07\
    \0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0d";

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Returns the plan for a request, by its path.
pub(super) fn plan_for(request: &Request) -> Plan {
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
        "trickle" => plan(full_length_head(), Then::Repeat(b"x".into(), SLOW_INTERVAL)),
        "trickle-head" => plan(
            "HTTP/1.1 200 OK\r\nX-Slow: ",
            Then::Repeat(b"x".into(), SLOW_INTERVAL),
        ),
        "endless" => {
            let chunk = format!("{HALF_BYTES:x}\r\n{}\r\n", "x".repeat(HALF_BYTES));
            plan(CHUNKED, Then::Repeat(chunk.into(), Duration::ZERO))
        }
        "endless-head" => plan(
            "HTTP/1.1 200 OK\r\nX-Endless: ",
            Then::Repeat(vec![b'x'; HALF_BYTES], Duration::ZERO),
        ),
        "flood" => {
            let many = format!("HTTP/1.1 {argument} Test\r\n\r\n").repeat(1000);
            plan("", Then::Repeat(many.into(), Duration::ZERO))
        }
        "informational" => plan("HTTP/1.1 103 Early Hints\r\n\r\n", Then::Close),

        "cut-chunks" => plan(format!("{CHUNKED}5\r\nhello\r\n"), Then::Close),
        "bad-chunks" => plan(format!("{CHUNKED}nonsense\r\nhello"), Then::Close),
        "not-http" => plan("SSH-2.0-OpenSSH_9.2p1\r\n", Then::Close),
        "http-0.9" => plan("<html>body</html>\r\n", Then::Close),
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
        // The bytes after the announced length look like the response to another request.
        "long" => plan(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
             HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
            Then::Close,
        ),
        "long-later" => plan(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            Then::Repeat(b"more".into(), Duration::from_millis(2)),
        ),
        "range" => range_faults::plan_for(argument, request),

        command => complete_plan(command, argument, query, request),
    }
}

/// Returns the plan for responses that are complete.
fn complete_plan(command: &str, argument: &str, query: &str, request: &Request) -> Plan {
    match command {
        "large-head" => {
            let large = format!("X-Large: {}\r\n", "x".repeat(64 * 1024));
            reply("200 OK", &large, b"body")
        }
        "many-headers" => reply("200 OK", &"X-Many: x\r\n".repeat(1000), b"body"),
        "gzip" => reply("200 OK", "Content-Encoding: gzip\r\n", GZIP),
        "bomb" => {
            let member = [MEMBER_HEAD, &[0; MEMBER_ZEROS], MEMBER_TAIL].concat();
            reply(
                "200 OK",
                "Content-Encoding: gzip\r\n",
                &member.repeat(BOMB_MEBIBYTES),
            )
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
            0 => reply("200 OK", "", b"body"),
            left => redirect("302", &format!("/chain/{}", left - 1)),
        },
        "hints" => {
            // Headers that name another URL without being a redirect.
            let hints = [
                format!("Location: {query}\r\n"),
                format!("Content-Location: {query}\r\n"),
                format!("Refresh: 0; url={query}\r\n"),
                format!("Link: <{query}>; rel=preload\r\n"),
                format!("Alt-Svc: h2=\"{query}\"; ma=60\r\n"),
            ];
            reply("200 OK", &hints.concat(), b"body")
        }
        "refresh" => {
            let is_conditional = request.header("if-none-match").is_some();
            match (argument, is_conditional) {
                ("other-tag", true) => reply("304 Not Modified", "ETag: \"other\"\r\n", b""),
                ("same-bytes", true) => reply("200 OK", "ETag: \"other\"\r\n", b"body"),
                ("failing", _) => reply("500 Test", "", b""),
                _ => reply("200 OK", "ETag: \"first\"\r\n", b"body"),
            }
        }
        "echo" => reply("200 OK", "", request.0.as_bytes()),
        "retry-after" => reply("503 Service Unavailable", "Retry-After: 3600\r\n", b""),
        "status" => reply(&format!("{argument} Test"), "", b"body"),
        _ => reply("404 Not Found", "", b"body"),
    }
}

/// Returns the head of a response of twice `HALF_BYTES`.
fn full_length_head() -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        HALF_BYTES * 2
    )
}

fn half() -> String {
    full_length_head() + &"x".repeat(HALF_BYTES)
}

fn redirect(status: &str, location: &str) -> Plan {
    let headers = format!("Location: {location}\r\nSet-Cookie: session=s3cr3t; Path=/\r\n");
    reply(&format!("{status} Test"), &headers, b"")
}
