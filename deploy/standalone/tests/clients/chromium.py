"""Opens media inline in a browser tab, and says what the tab shows.

Usage: chromium.py BASE FILES...

Each file is uploaded with its name as the key and opened with `?disposition=inline`, as a person would. Files that could
run a script are opened once more from a server that shows them inline with the policy of the service's pictures. One line
per file: the name, a tab, and what was seen, as JSON. A file whose script ran changes the title of its document, asks a
server for a path with `ran` in it, or opens a dialog.
"""

import asyncio
import json
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from browser import chromium

# What a tab shows: the player or the picture that the browser makes for the media.
LOOK = """(() => {
    const found = document.querySelector('video, audio, img');
    const seen = { title: document.title, type: document.contentType, loaded: document.readyState === 'complete' };
    if (!found) return { ...seen, element: null, text: document.body ? document.body.innerText.slice(0, 40) : '' };
    const element = found.localName;
    if (element === 'img') return { ...seen, element, width: found.naturalWidth, complete: found.complete };
    found.muted = true;
    return { ...seen, element, error: found.error && found.error.code, ready: found.readyState, time: found.currentTime,
        played: found.played.length > 0 || found.ended };
})()"""


class Page:
    def __init__(self, tab):
        self.tab = tab

    async def look(self):
        answer = await self.tab.call("Runtime.evaluate", expression=LOOK, returnByValue=True)
        return answer.get("result", {}).get("value", answer)

    async def open(self, url):
        self.tab.events.clear()
        answer = await self.tab.call("Page.navigate", url=url)
        if answer.get("errorText"):
            # The answer is saved instead of shown.
            return {"not shown": answer["errorText"]}
        seen = {}
        for turn in range(200):
            await asyncio.sleep(0.1)
            seen = await self.look()
            if turn >= 10 and seen.get("loaded") and not seen.get("element"):
                break
            if seen.get("played") or seen.get("error") or seen.get("complete") and seen.get("loaded"):
                break
            if seen.get("element") in ("video", "audio"):
                # A person would press the button.
                await self.tab.call(
                    "Runtime.evaluate",
                    expression="document.querySelector('video, audio').play().catch(() => {})",
                    userGesture=True,
                )
        said = {event["method"] for event in self.tab.events if "method" in event}
        seen["dialog"] = "Page.javascriptDialogOpening" in said
        requests = [
            event["params"]["request"]["url"]
            for event in self.tab.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        seen["ran"] = seen["dialog"] or seen.get("title") == "ran" or any("ran" in url for url in requests)
        return seen


# Types of files that run scripts unless a policy forbids it.
TYPES = {".html": "text/html", ".svg": "image/svg+xml", ".xhtml": "application/xhtml+xml", ".pdf": "application/pdf"}


def upload(base, path):
    request = urllib.request.Request(f"{base}/medias/files/shown/{path.name}", data=path.read_bytes(), method="PUT")
    types = {**TYPES, ".mkv": "video/x-matroska"}
    request.add_header("Content-Type", types.get(path.suffix, "application/octet-stream"))
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["data"]["attributes"]["mime_type"]


def policy_of_pictures(base):
    """The policy of a picture that the service shows inline."""
    pixel = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")
    url = f"{base}/medias/files/shown/pixel.gif"
    urllib.request.urlopen(urllib.request.Request(url, data=pixel, method="PUT")).close()
    with urllib.request.urlopen(f"{url}?disposition=inline") as answer:
        return answer.headers["Content-Security-Policy"]


def serve(files, policy):
    """Serves files inline with a policy, and returns the server's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = files.get(self.path.strip("/"))
            self.send_response(200 if path else 404)
            self.send_header("Content-Type", TYPES.get(path.suffix, "text/plain") if path else "text/plain")
            if policy:
                self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(path.read_bytes() if path else b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


async def look_at(browser, name, url, more):
    async with browser.tab() as tab:
        seen = await Page(tab).open(url)
    print(f"{name}\t{json.dumps({**more, **seen})}", flush=True)


async def main(base, files):
    async with chromium() as browser:
        for path in files:
            url = f"{base}/medias/files/shown/{path.name}?disposition=inline"
            await look_at(browser, path.name, url, {"mime": upload(base, path)})
        # A PDF is never shown inline with this policy.
        scripted = {path.name: path for path in files if path.suffix in TYPES and path.suffix != ".pdf"}
        for kind, policy in (("policy", policy_of_pictures(base)), ("none", None)):
            inline = serve(scripted, policy)
            for name in scripted:
                await look_at(browser, f"{kind}:{name}", f"{inline}/{name}", {})


asyncio.run(main(sys.argv[1], [Path(name) for name in sys.argv[2:]]))
