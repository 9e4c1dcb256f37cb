"""Tabs of Chromium, over the protocol of the browser's developer tools."""

import asyncio
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp


class Tab:
    """A tab, and the events since the last page was opened."""

    def __init__(self, socket):
        self.socket = socket
        self.number = 0
        self.events = []

    async def call(self, method, **params):
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": params})
        while True:
            message = await self.socket.receive_json(timeout=30)
            if message.get("id") == self.number:
                return message.get("result", message)
            self.events.append(message)
            if message.get("method") == "Page.javascriptDialogOpening":
                # A dialog blocks its tab.
                await self.socket.send_json({"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}})


class Browser:
    def __init__(self, session, port):
        self.session = session
        self.port = port

    @asynccontextmanager
    async def tab(self):
        """Opens an empty tab whose events are recorded."""
        async with self.session.put(f"http://127.0.0.1:{self.port}/json/new?about:blank") as answer:
            target = await answer.json()
        async with self.session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            tab = Tab(socket)
            for domain in ("Page", "Network", "Runtime"):
                await tab.call(f"{domain}.enable")
            yield tab


@asynccontextmanager
async def chromium():
    """Runs a browser with an empty profile."""
    with tempfile.TemporaryDirectory() as profile:
        browser = subprocess.Popen(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--mute-audio",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            port = Path(profile, "DevToolsActivePort")
            while not port.exists() or not port.read_text().strip():
                await asyncio.sleep(0.1)
            async with aiohttp.ClientSession() as session:
                yield Browser(session, port.read_text().splitlines()[0])
        finally:
            browser.terminate()
            browser.wait()
