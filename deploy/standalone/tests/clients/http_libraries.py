"""Uploads and downloads with requests and with httpx: http_libraries.py BASE."""

import json
import os
import sys
import tempfile
from pathlib import Path

import httpx
import requests

base = sys.argv[1]
content = os.urandom(3_000_000)
path = Path(tempfile.mkdtemp(), 'é "1".bin')
path.write_bytes(content)


def chunks():
    for start in range(0, len(content), 65536):
        yield content[start : start + 65536]


def record(answer, status=201):
    assert answer.status_code == status, (answer.status_code, answer.text)
    return answer.json()["data"]["attributes"]


def ranges(session, url):
    whole = session.get(url)
    assert whole.status_code == 200 and whole.content == content
    for value, expected in (("100-199", content[100:200]), ("2999000-", content[-1000:]), ("-10", content[-10:])):
        part = session.get(url, headers={"Range": f"bytes={value}", "If-Range": whole.headers["ETag"]})
        assert part.status_code == 206 and part.content == expected, value
    beyond = session.get(url, headers={"Range": "bytes=3000000-"})
    assert beyond.status_code == 416 and beyond.headers["Content-Range"] == "bytes */3000000"
    unchanged = session.get(url, headers={"If-None-Match": whole.headers["ETag"]})
    assert unchanged.status_code == 304 and unchanged.content == b""
    head = session.head(url)
    assert head.status_code == 200 and head.headers["Content-Length"] == "3000000"


for library, session, body in ((requests, requests.Session(), "data"), (httpx, httpx.Client(), "content")):
    url = f"{base}/medias/files/{library.__name__}"

    with path.open("rb") as file:
        media = record(session.post(f"{url}/form", files={"media": file}))
    assert (media["filename"], media["size"], media["public"]) == (path.name, 3_000_000, False), media
    # The libraries write booleans in different ways.
    fields = {"public": True, "sha256": media["sha256"]}
    media = record(session.post(f"{url}/fields", files={"media": ("a.txt", b"text", "text/plain")}, data={"public": True}))
    assert (media["filename"], media["mime_type"], media["public"]) == ("a.txt", "text/plain", True), media
    media = record(session.post(f"{url}/checked", files={"media": ("b.bin", content)}, data=fields))
    assert (media["filename"], media["public"]) == ("b.bin", True), media

    with path.open("rb") as file:
        assert record(session.put(f"{url}/file", **{body: file}))["size"] == 3_000_000
    assert record(session.put(f"{url}/chunks", **{body: chunks()}))["size"] == 3_000_000
    assert record(session.put(f"{url}/chunks", **{body: chunks()}), 200)["filename"] == "chunks"
    assert record(session.put(f"{url}/empty", **{body: b""}))["size"] == 0
    assert record(session.put(f"{url}/json", json={"a": 1}))["mime_type"] == "application/json"
    assert json.loads(session.get(f"{url}/json").content) == {"a": 1}

    ranges(session, f"{url}/form")
    ranges(session, f"{url}/chunks")
    listed = session.get(f"{base}/medias", params={"filter[resource]": library.__name__, "count": "true"})
    assert len(listed.json()["data"]) == 7, listed.text
    assert session.delete(f"{url}/form").status_code == 204
    assert session.get(f"{url}/form").status_code == 404

with httpx.stream("GET", f"{base}/medias/files/httpx/file") as answer:
    assert b"".join(answer.iter_bytes()) == content
with requests.get(f"{base}/medias/files/requests/file", stream=True) as answer:
    assert b"".join(answer.iter_content(10_000)) == content
