//! Wrong responses to range requests (RFC 9110 §14).

use super::{
    content::{Content, index},
    plan::{Plan, Then, plan, reply},
    range_headers::{content_range, requested_range, response_head},
    request::Request,
};

/// Half of the file, in bytes.
const HALF_BYTES: u64 = 64 * 1024;

/// Returns the plan of one wrong range response. A request for the whole file gets half of it and a reset; a
/// request for the rest gets the wrong response.
pub(super) fn plan_for(wrong: &str, request: &Request) -> Plan {
    let content = |seed| Content::Generated {
        size: 2 * HALF_BYTES,
        seed,
    };
    let size = content(0).size();
    let asked = requested_range(request, size).filter(|range| range.start > 0);
    let whole = content(0).read(0..size);
    let Some(range) = asked.filter(|range| range.start < size) else {
        if wrong == "unasked" {
            return part(1, &content_range(&(0..size), size), &whole);
        }
        let headers = "ETag: \"1\"\r\nAccept-Ranges: bytes\r\n";
        let mut answer = response_head(200, size, headers).into_bytes();
        answer.extend_from_slice(&whole[..index(size / 2)]);
        return plan(answer, Then::Reset);
    };
    let rest = content(0).read(range.clone());
    match wrong {
        "wrong-start" => {
            let shifted = range.start - 1..range.end - 1;
            part(1, &content_range(&shifted, size), &rest)
        }
        "wrong-total" => part(1, &content_range(&range, size + 1), &rest),
        "other-etag" => {
            let other = content(1).read(range.clone());
            part(2, &content_range(&range, size), &other)
        }
        "whole" => reply("200 OK", "ETag: \"1\"\r\n", &whole),
        "unsatisfiable" => {
            let headers = format!("Content-Range: bytes */{size}\r\n");
            reply("416 Range Not Satisfiable", &headers, b"")
        }
        _ => part(1, &content_range(&range, size), &rest),
    }
}

fn part(version: u32, content_range: &str, body: &[u8]) -> Plan {
    let headers = format!("ETag: \"{version}\"\r\nAccept-Ranges: bytes\r\n{content_range}");
    reply("206 Partial Content", &headers, body)
}
