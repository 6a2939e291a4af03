"""The daemon's end of a worker: start it, ask it within a deadline, kill it on trouble, remember answers.

No shap, no scikit-learn, no model here: all this process does is write a request, wait, and check the answer.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from monitor.errors import ExplainError
from monitor.explain import wire

IDLE_S = 30.0  # a worker that nobody asked for so long is replaced; it ends itself after a minute
STDERR_KEPT = 4096
KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TZ")
ONE_THREAD = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")

# The kernel kills a worker when the *thread* that started it ends: so that one starts them all, to the end.
_starter = ThreadPoolExecutor(1, thread_name_prefix="explain-start")


class Process:
    """One running worker, in a process group and an empty folder of its own."""

    def __init__(self, memory_bytes: int) -> None:
        folder = tempfile.TemporaryDirectory(prefix="model-monitor-", ignore_cleanup_errors=True)
        command = [sys.executable, "-P", "-m", "monitor.explain.worker", str(memory_bytes), str(os.getpid())]
        self._child: subprocess.Popen[bytes] = _starter.submit(
            subprocess.Popen,
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder.name,
            env=environment(folder.name),
            process_group=0,  # in the daemon's session: the kernel weighs sessions, and shares inside each
            bufsize=0,
        ).result()
        self._finalizer = weakref.finalize(self, _end, self._child, folder)  # when forgotten, or at exit
        self._said = b""
        self.pid = self._child.pid
        self.used_s = time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether it is gone, or may be about to go by itself."""
        return self._child.poll() is not None or time.monotonic() - self.used_s > IDLE_S

    def ask(
        self, head: dict[str, Any], payload: bytes, *, deadline_s: float, most: int = 0
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and return the answer, of which the payload has at most ``most`` bytes.

        Raises
        ------
        ExplainError
            When it ends, answers with garbage, or has not answered by ``deadline_s`` (monotonic).
        """
        message = memoryview(wire.pack(head, payload))
        received, wanted, sizes = bytearray(), wire.HEADER.size, None
        stdin, stdout, stderr = self._pipes()
        with selectors.DefaultSelector() as selector:
            selector.register(stdin, selectors.EVENT_WRITE)
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            while len(received) < wanted:
                left = deadline_s - time.monotonic()
                if left <= 0:
                    raise ExplainError("no answer by the deadline")
                for key, _ in selector.select(left):
                    if key.fileobj is stdin:
                        message = self._send(selector, message)
                    elif key.fileobj is stderr:
                        self._listen(selector)
                    else:
                        piece = os.read(stdout.fileno(), min(wanted - len(received), 1 << 20))
                        if not piece:
                            raise ExplainError(self._why_ended())
                        received += piece
                if sizes is None and len(received) == wire.HEADER.size:
                    sizes = wire.lengths(bytes(received), most)
                    wanted += sum(sizes)
        assert sizes is not None
        body = memoryview(received)[wire.HEADER.size :]
        self.used_s = time.monotonic()
        return wire.read_head(bytes(body[: sizes[0]])), bytes(body[sizes[0] :])

    def _pipes(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        child = self._child
        assert child.stdin and child.stdout and child.stderr
        for pipe in (child.stdin, child.stdout, child.stderr):
            os.set_blocking(pipe.fileno(), False)
        return child.stdin, child.stdout, child.stderr

    def _send(self, selector: selectors.BaseSelector, message: memoryview) -> memoryview:
        stdin = self._pipes()[0]
        try:
            message = message[os.write(stdin.fileno(), message[: 1 << 16]) :]
        except BlockingIOError:
            return message
        except BrokenPipeError:  # its end shows on the other pipe
            message = memoryview(b"")
        if not message:
            selector.unregister(stdin)
        return message

    def _listen(self, selector: selectors.BaseSelector) -> None:
        stderr = self._pipes()[2]
        piece = os.read(stderr.fileno(), 1 << 16)
        self._said = (self._said + piece)[-STDERR_KEPT:]
        if not piece:
            selector.unregister(stderr)

    def _why_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(2.0)
        code = self._child.returncode
        if code is None:
            return "the worker closed its pipe"
        with contextlib.suppress(BlockingIOError):
            self._said = (self._said + os.read(self._pipes()[2].fileno(), 1 << 16))[-STDERR_KEPT:]
        lines = self._said.decode(errors="replace").strip().splitlines()
        last = next((line for line in reversed(lines) if line and not line.startswith(" ")), "")
        if code >= 0:
            return f"the model's process ended with exit code {code}" + (
                f": {last[:300]}" if last and code else ""
            )
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        fatal = next((line for line in lines if "bad_alloc" in line or "MemoryError" in line), "")
        return f"the model's process was killed by {name}" + (f": {fatal[:300]}" if fatal else "")

    def interrupt(self) -> None:
        """Kill it and leave the rest to whoever waits for it; for other threads."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def kill(self) -> None:
        """End it and all it started, at once, and remove its folder."""
        self._finalizer()


def _end(child: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    folder.cleanup()


def environment(folder: str) -> dict[str, str]:
    """Return the worker's environment: nothing of ours but what a program needs to run, and one thread."""
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    package = str(Path(__file__).parents[2])
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    paths = [package, *(os.path.abspath(path) for path in given)]  # noqa: PTH100  links stay as they are
    fixed = {
        "LOKY_MAX_CPU_COUNT": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "agg",
        "NUMBA_DISABLE_JIT": "1",  # compiling costs 9 s of CPU, interpreting 5 ms a row
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "VECLIB_MAXIMUM_THREADS": "1",
    }
    own = {name: folder for name in ("HOME", "TMPDIR", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")}
    return kept | fixed | own | {f"{name}_NUM_THREADS": "1" for name in ONE_THREAD}
