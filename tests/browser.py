"""A real headless Chromium, driven over its debugging pipe: load a page, look at it, press keys."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHOTS = Path(__file__).parent.parent / "build" / "screenshots"
LIMIT_S = 60.0
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe"
)


@dataclass
class Seen:
    """What a load brought: complaints of the console, and the addresses that were asked."""

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Browser:
    """One browser with one tab."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back, self._rest, self._id = to, back, b"", 0
        self.seen = Seen()
        self._loaded = 0
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the tab; return its result."""
        return self._call(method, params, {"sessionId": self._session})

    def load(self, url: str, *, width: int, dark: bool) -> Seen:
        """Load a page at a width, in a colour scheme; return what that brought."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.seen, before = Seen(), self._loaded
        self.call("Page.navigate", url=url)
        deadline_s = time.monotonic() + LIMIT_S
        while self._loaded == before:
            self._read(deadline_s)
        time.sleep(0.3)  # for what the page's own script asks for after loading
        self.value("0")  # and for the browser to have said so
        return self.seen

    def value(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def tab(self) -> str:
        """Press the tab key; return what has the focus then."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        return str(self.value("document.activeElement.outerHTML.slice(0, 200)"))

    def enter(self) -> None:
        """Press Enter on what has the focus."""
        named = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **named)

    def shoot(self, name: str) -> Path:
        """Keep a picture of the whole page."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path = SHOTS / f"{name}.png"
        path.write_bytes(base64.b64decode(data))
        return path

    def _call(self, method: str, params: dict[str, Any], more: dict[str, Any] | None = None) -> Any:
        self._id += 1
        wanted = self._id
        os.write(
            self._to, json.dumps({"id": wanted, "method": method, "params": params, **(more or {})}).encode()
        )
        os.write(self._to, b"\0")
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            message = self._read(deadline_s)
            if message.get("id") == wanted:
                assert "error" not in message, message
                return message["result"]

    def _read(self, deadline_s: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], max(deadline_s - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            some = os.read(self._back, 1 << 16)
            assert some, "the browser has ended"
            self._rest += some
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded += 1
        elif method == "Network.requestWillBeSent":
            self.seen.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert")
        ):
            self.seen.complaints.append(json.dumps(params)[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.seen.complaints.append(params["entry"]["text"])


@contextmanager
def browsing() -> Iterator[Browser]:
    """Run a browser with an empty profile that can reach loopback alone."""
    program = shutil.which("chromium")
    assert program, "chromium is missing: see scripts/install_test_tools.sh"
    (to_read, to_write), (back_read, back_write) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            "bash", "-c", f'exec "$0" "$@" 3<&{to_read} 4>&{back_write}', program, *FLAGS.split(),
            f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ]  # fmt: skip
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, pass_fds=(to_read, back_write), stdout=quiet, stderr=quiet)
        os.close(to_read)
        os.close(back_write)
        try:
            yield Browser(to_write, back_read)
        finally:
            os.close(to_write)  # the end of its pipe ends the browser
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(back_read)
