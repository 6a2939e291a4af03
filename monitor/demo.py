"""``model-monitor demo``: a model, its growing logs, a real daemon and a webhook receiver, all on loopback.

The daemon is the command ``model-monitor run`` in a process of its own, on a configuration that is written
for it; this process plays the world around it: the model that logs, the people who answer later, the
pipeline that is asked to retrain, and someone who watches and tells: on a terminal in a live view, elsewhere
in log lines.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from monitor.actions.receiver import receiving
from monitor.actions.signing import new_secret
from monitor.errors import MonitorError
from monitor.examples import employment
from monitor.examples.screen import Screen, can_live
from monitor.examples.telling import Telling, opening, position, tell
from monitor.time import SystemClock

STORY_S = 66.0  # wall time in which the past days go by
LIMIT_S = 180.0  # --once: the story must be complete by then
STEP_S = 0.25
START_S, STOP_S = 60.0, 30.0


def run_demo(
    folder: Path | None, *, port: int = 9108, once: bool = False, seed: int = 0, story_s: float = STORY_S
) -> int:
    """Run the demonstration; return the exit code.

    Parameters
    ----------
    folder
        A new or empty folder for its files, which stay. None: a temporary one.
    port
        Of the daemon, on loopback; when it is taken a free one is used instead, and said.
    once
        End when the story is told: 0, or 1 when something is missing after three minutes or should not have
        happened. Otherwise go on until interrupted.
    seed
        Chooses who comes when.
    story_s
        Seconds of wall time in which the past days go by.

    Raises
    ------
    MonitorError
        When the folder is in use.
    """
    console = Console()
    with _interruptible(), _folder(folder) as place:
        try:
            return _Demo(console, place, port, seed, story_s).run(once)
        except KeyboardInterrupt:
            tell(console, "stopped")
            return 0 if not once else 1


class _Demo:
    """One run: what it is made of, in the order in which it starts."""

    def __init__(self, console: Console, folder: Path, port: int, seed: int, story_s: float) -> None:
        self.console, self.folder, self.story_s = console, folder, story_s
        self.clock = SystemClock()
        self.screen: Screen | None = None  # while it is shown
        self.say("training a model on census data: is a person employed? (gradient boosting, 12,000 rows)")
        model = employment.train(seed)
        employment.prepare(folder, model)
        self.story = employment.story(model, employment.start_of(self.clock.now_us()), seed=seed)
        self.port = free_port(port)
        if self.port != port:
            self.say(f"port {port} is taken; using {self.port}" if port else f"using port {self.port}")
        self.sent_us = self.story.start_us
        for name in ("predictions.jsonl", "feedback.jsonl"):
            (folder / name).touch()

    def say(self, text: str, style: str = "") -> None:
        if self.screen is None:
            tell(self.console, text, style)
        else:
            self.screen.say(text, style)

    def run(self, once: bool) -> int:
        url, secret = f"http://127.0.0.1:{self.port}", new_secret()
        hook = self.folder / "webhook.secret"
        hook.touch(mode=0o600)
        hook.write_text(secret, encoding="utf-8")
        telling = Telling(self.say, url, self.story)
        with receiving(secret, telling.received) as receiver:
            config = employment.write_config(self.folder, listen=f"127.0.0.1:{self.port}", receiver=receiver)
            rules = config.read_text(encoding="utf-8").partition("    alerts:\n")
            self.say(f"the rules of {config}:\n{rules[1]}{rules[2]}")
            self.say(f"starting: model-monitor run -c {config}")
            with self._daemon(config) as daemon:
                self._wait(daemon)
                try:
                    with self._watched(url):
                        self.say(opening(self.story, url))
                        self._stream(daemon, telling, once)
                    return self._verdict(telling)
                finally:
                    telling.close()

    @contextmanager
    def _watched(self, url: str) -> Iterator[None]:
        """Show the live view where there is a terminal for it, and leave its last state there afterwards."""
        if not can_live(self.console):
            yield
            return
        screen = Screen(self.console, url, self.clock)
        try:
            with screen:
                self.screen = screen
                yield
        finally:
            self.screen = None
            self.console.print(screen.summary())

    @contextmanager
    def _daemon(self, config: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run the daemon in its own session, so that Ctrl-C reaches us alone and it is stopped in order."""
        command = [sys.executable, "-m", "monitor", "run", "-c", str(config)]
        with (self.folder / "daemon.log").open("wb") as log:
            daemon = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield daemon
        finally:
            if daemon.poll() is None:
                self.say("stopping the daemon")
                daemon.terminate()
            try:
                daemon.wait(STOP_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _wait(self, daemon: subprocess.Popen[bytes]) -> None:
        deadline_s = self.clock.monotonic_s() + START_S
        while self.clock.monotonic_s() < deadline_s:
            self._check(daemon)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise MonitorError(f"the daemon does not answer after {START_S:.0f} s{self._log_tail()}")

    def _check(self, daemon: subprocess.Popen[bytes]) -> None:
        if daemon.poll() is not None:
            raise MonitorError(f"the daemon ended with exit code {daemon.returncode}{self._log_tail()}")

    def _log_tail(self) -> str:
        lines = (self.folder / "daemon.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return ":\n" + "\n".join(lines[-20:])

    def _stream(self, daemon: subprocess.Popen[bytes], telling: Telling, once: bool) -> None:
        """Write the logs and tell what comes of it, until the story is over or someone interrupts."""
        started_s, told = self.clock.monotonic_s(), False
        while True:
            elapsed_s = self.clock.monotonic_s() - started_s
            past_us = self.clock.now_us() - self.story.start_us
            self._write(self.story.start_us + round(past_us * min(elapsed_s / self.story_s, 1.0)))
            self._check(daemon)
            telling.look(self.sent_us)
            over = not telling.missing()
            if over and not told:
                told = True
                self._conclude(telling, once)
            if self.screen is not None:
                self.screen.look(position(self.story, self.sent_us))
            if once and (over or telling.surprises or elapsed_s > LIMIT_S):
                return
            time.sleep(STEP_S)

    def _write(self, upto_us: int) -> None:
        predictions, labels = self.story.between(self.sent_us, upto_us)
        for name, lines in (("predictions.jsonl", predictions), ("feedback.jsonl", labels)):
            if lines:
                with (self.folder / name).open("a", encoding="utf-8") as log:
                    log.write("\n".join(lines) + "\n")
        self.sent_us = upto_us

    def _conclude(self, telling: Telling, once: bool) -> None:
        self.say(
            "The story is told: a fault upstream raised drift on that feature alone and asked for nothing; a"
            " changed world\nlowered accuracy, opened a gap between groups, and a new model was asked for."
        )
        if not once:
            self.say("The stream goes on until Ctrl-C, in real time once it has caught up with the clock.")

    def _verdict(self, telling: Telling) -> int:
        wrong = [*telling.surprises, *(f"missing: {words}" for words in telling.missing())]
        for sentence in wrong:
            self.say(sentence)
        if wrong:
            self.say(f"the daemon's log ends with{self._log_tail()}")
        return 1 if wrong else 0


def free_port(port: int) -> int:
    """Return ``port`` when it can be bound on loopback, else one that the system gives."""
    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise MonitorError("no port can be bound on 127.0.0.1")


@contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="model-monitor-demo-") as name:
            yield Path(name)
        return
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise MonitorError(f"{folder}: is not empty; name a new folder, or remove what is in it")
    yield folder.resolve()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demonstration as Ctrl-C does, the daemon included."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
