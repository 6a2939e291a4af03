"""The worker process: what a model may do in it, and what becomes of a model that does it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitor.errors import ExplainError, Stopped
from monitor.explain import client
from monitor.explain.client import WorkerExplainer
from monitor.explain.settings import Settings

ROWS = pa.table({"a": np.arange(20.0), "b": np.arange(20.0) % 3})
MEMORY = 1_500_000_000
DEADLINE_S = 120.0  # of a start on a busy machine

# The module of a pickled class; the worker finds it by PYTHONPATH, as it would an installed one.
MISCHIEF = '''
"""A model that does as it is told by the first number of each row."""
import ctypes, os, socket, subprocess, sys
import numpy as np


class Mischief:
    n_features_in_ = 2

    def __init__(self, on_load=None):
        self.on_load = on_load

    def __setstate__(self, state):
        self.__dict__.update(state)
        if self.on_load:
            getattr(self, self.on_load[0])(*self.on_load[1:])

    def predict(self, rows):
        for name, number in ACTS.items():
            if (np.asarray(rows)[:, 0] == number).any():
                getattr(self, name)()
        return np.asarray(rows)[:, 0] + 2 * np.asarray(rows)[:, 1]

    def raise_(self):
        raise RuntimeError("no scores today")

    def exit(self):
        sys.exit(3)

    def die(self):
        os._exit(3)

    def hang(self):
        while True:
            pass

    def eat(self):
        kept = []
        while True:
            kept.append(np.ones(1 << 24))

    def crash(self):
        ctypes.string_at(0)

    def chatter(self):
        print("garbage " * 100_000)
        os.write(1, b"\\x00" * 1_000_000)
        sys.stdout.flush()

    def reach_out(self):
        for what, act in REACHING.items():
            try:
                act()
            except PermissionError:
                continue
            except BaseException as error:
                raise RuntimeError(f"{what}: {error!r}")
            raise RuntimeError(f"{what} was possible")

    def write(self, path):
        open(path, "w").write("x")


NAMES = ["raise_", "exit", "die", "hang", "eat", "crash", "chatter", "reach_out"]
ACTS = {name: 101 + i for i, name in enumerate(NAMES)}


def _native(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0 and ctypes.get_errno() == 1:
        raise PermissionError(name)


REACHING = {
    "a socket": lambda: socket.create_connection(("127.0.0.1", 9), 1),
    "a name": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "a program": lambda: subprocess.run(["true"]),
    "a shell": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "a fork": lambda: os.fork() or os._exit(0),
    "a file": lambda: open("written", "w"),
    "a descriptor": lambda: os.open("written", os.O_CREAT | os.O_WRONLY),
    "a folder": lambda: os.mkdir("made"),
    "a removal": lambda: os.remove(__file__),
    "a signal to the parent": lambda: os.kill(os.getppid(), 0),
    "native: a socket": lambda: _native("socket", 2, 1, 0),
    "native: a file": lambda: _native("open", b"written", 0o102, 0o600),
    "native: a fork": lambda: _native("fork"),
}
'''


@pytest.fixture
def mischief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that writes a pickle of a :data:`MISCHIEF` model and returns its path and acts."""
    (tmp_path / "mischief.py").write_text(MISCHIEF)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def write(on_load: tuple[str, ...] | None = None) -> Path:
        code = f"import joblib, mischief; joblib.dump(mischief.Mischief({on_load!r}), 'model.joblib')"
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
        return tmp_path / "model.joblib"

    return write


def settings(path: Path, **more: Any) -> Settings:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = {"sha256": digest, "allow_pickle": True, "task": "regression"} | more
    return Settings("sklearn-joblib", {"a": "numeric", "b": "numeric"}, path=str(path), **known)


def poisoned(number: float) -> pa.Table:
    return pa.table({"a": [number, 1.0], "b": [0.0, 0.0]})


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_whatever_a_model_does_fails_one_request_with_its_reason(mischief: Any) -> None:
    explainer = WorkerExplainer(settings(mischief()), ROWS, memory_bytes=MEMORY)
    fine = explainer.explain(ROWS, deadline_s=DEADLINE_S)
    np.testing.assert_allclose(fine.scores[:, 0], np.arange(20.0) + 2 * (np.arange(20) % 3))
    cases = {
        101: "the model raised RuntimeError: no scores today",
        102: "the model raised SystemExit: 3",
        103: "exit code 3",
        104: "no answer by the deadline",
        105: r"more memory than memory_limit \(1500 MB\)",
        106: "killed by SIGSEGV",
    }
    for number, reason in cases.items():
        explainer._failures = 0  # the waiting is another test's
        with pytest.raises(ExplainError, match=reason):
            explainer.explain(poisoned(number), deadline_s=5.0 if number == 104 else DEADLINE_S)
        again = explainer.explain(ROWS.slice(0, 10 + number - 100), deadline_s=DEADLINE_S)
        np.testing.assert_allclose(again.values, fine.values[: len(again.values)])
    explainer.explain(poisoned(107), deadline_s=DEADLINE_S)  # what it prints is not taken for an answer
    explainer.explain(poisoned(108), deadline_s=DEADLINE_S)  # raises where something was possible
    assert explainer._process is not None
    pid = explainer._process.pid
    explainer.close()
    assert not alive(pid)


@pytest.mark.slow
def test_closing_ends_a_request_at_once_and_says_that_nothing_is_wrong(mischief: Any) -> None:
    explainer = WorkerExplainer(settings(mischief(("hang",))), ROWS, memory_bytes=MEMORY)
    closing = threading.Timer(3.0, explainer.close)
    closing.start()
    with pytest.raises(Stopped, match="closed"):
        explainer.explain(ROWS, deadline_s=DEADLINE_S)
    closing.join()
    with pytest.raises(Stopped):
        explainer.explain(ROWS, deadline_s=DEADLINE_S)
    assert explainer._process is None


@pytest.mark.slow
def test_a_model_that_hangs_or_dies_while_it_is_loaded(mischief: Any) -> None:
    for act, reason in (("hang", "no answer by the deadline"), ("die", "exit code 3")):
        explainer = WorkerExplainer(settings(mischief((act,))), ROWS, memory_bytes=MEMORY)
        with pytest.raises(ExplainError, match=reason):
            explainer.explain(ROWS, deadline_s=20.0)
        assert explainer._process is None


@pytest.mark.slow
def test_even_a_trusted_pickle_writes_no_file(mischief: Any, tmp_path: Path) -> None:
    target = tmp_path / "target"
    explainer = WorkerExplainer(settings(mischief(("write", str(target)))), ROWS, memory_bytes=MEMORY)
    with pytest.raises(ExplainError, match="PermissionError"):
        explainer.explain(ROWS, deadline_s=DEADLINE_S)
    assert not target.exists()


def test_a_pickle_is_not_loaded_unless_it_is_allowed(mischief: Any, tmp_path: Path) -> None:
    target = tmp_path / "target"
    found = settings(mischief(("write", str(target))), allow_pickle=False)
    explainer = WorkerExplainer(found, ROWS, memory_bytes=MEMORY)
    with pytest.raises(ExplainError, match="set allow_pickle: true to trust it"):
        explainer.explain(ROWS, deadline_s=DEADLINE_S)
    assert not target.exists()


def test_another_file_than_the_pinned_one_is_not_loaded(mischief: Any, tmp_path: Path) -> None:
    target = tmp_path / "target"
    path = mischief(("write", str(target)))
    wrong = WorkerExplainer(settings(path, sha256="0" * 64), ROWS, memory_bytes=MEMORY)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(
        ExplainError, match=f"sha256 is {digest}, not the configured {'0' * 64}; it is not loaded"
    ):
        wrong.explain(ROWS, deadline_s=DEADLINE_S)
    gone = settings(path)
    path.unlink()
    with pytest.raises(ExplainError, match=r"model\.joblib: cannot be read: No such file"):
        WorkerExplainer(gone, ROWS, memory_bytes=MEMORY).explain(ROWS, deadline_s=DEADLINE_S)
    os.mkfifo(path)
    with pytest.raises(ExplainError, match="no regular file"):
        WorkerExplainer(gone, ROWS, memory_bytes=MEMORY).explain(ROWS, deadline_s=DEADLINE_S)
    assert not target.exists()


@pytest.mark.slow
def test_answers_are_remembered_and_the_daemon_never_imports_what_explains(mischief: Any) -> None:
    path = mischief()
    code = f"""
        import sys, time
        import pyarrow as pa
        from monitor.explain.client import WorkerExplainer
        from monitor.explain.settings import Settings
        import monitor.build, monitor.daemon
        found = Settings.from_json({settings(path).to_json()!r})
        rows = pa.table({{"a": [1.0, 2.0], "b": [0.0, 4.0]}})
        explainer = WorkerExplainer(found, rows, memory_bytes={MEMORY})
        first = explainer.explain(rows, deadline_s={DEADLINE_S})
        explainer._end()
        assert explainer.explain(rows, deadline_s=0.5) is first
        assert explainer._process is None, "the worker was not needed"
        heavy = {{"shap", "numba", "sklearn", "joblib", "mischief", "lightgbm"}} & set(sys.modules)
        print(heavy or "light")
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert (found.stdout, found.stderr) == ("light\n", "")


def test_after_two_failures_in_a_row_a_start_waits(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    found = Settings("lightgbm", {"a": "numeric"}, path=str(missing), sha256="0" * 64)
    explainer = WorkerExplainer(found, ROWS, memory_bytes=MEMORY)
    with pytest.raises(ExplainError, match=r"cannot be read: No such file or directory$"):
        explainer.explain(ROWS, deadline_s=DEADLINE_S)
    explainer._failures = 1
    with pytest.raises(ExplainError, match="No such file or directory$"):
        explainer.explain(ROWS, deadline_s=DEADLINE_S)
    begun = time.monotonic()
    with pytest.raises(ExplainError, match=r"not tried again for \d+ s after 2 failures"):
        explainer.explain(ROWS, deadline_s=DEADLINE_S)
    assert explainer._retry_s - begun > client.BACK_OFF_S[1] / 2


@pytest.mark.slow
def test_a_worker_dies_with_the_daemon_and_has_none_of_its_secrets(mischief: Any, tmp_path: Path) -> None:
    path = mischief()
    code = f"""
        import os, time
        import pyarrow as pa
        from monitor.explain.client import WorkerExplainer
        from monitor.explain.settings import Settings
        found = Settings.from_json({settings(path).to_json()!r})
        explainer = WorkerExplainer(found, pa.table({{"a": [1.0], "b": [0.0]}}), memory_bytes={MEMORY})
        explainer.describe(deadline_s={DEADLINE_S})
        print(explainer._process.pid, flush=True)
        time.sleep(600)
    """
    daemon = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "HOOK_SECRET": "whsec_hidden"},
    )  # fmt: skip
    try:
        assert daemon.stdout is not None
        worker = int(daemon.stdout.readline())
        environment = Path(f"/proc/{worker}/environ").read_bytes()
        assert b"whsec_hidden" not in environment
        assert b"OMP_NUM_THREADS=1" in environment
        limits = Path(f"/proc/{worker}/limits").read_text()
        assert str(MEMORY) in next(line for line in limits.splitlines() if line.startswith("Max data size"))
        assert os.getpgid(worker) == worker and os.getsid(worker) == os.getsid(daemon.pid)
        assert os.getpriority(os.PRIO_PROCESS, worker) == 19
        assert os.sched_getscheduler(worker) == os.SCHED_IDLE
    finally:
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait()
        daemon.stdout.close()
    until = time.monotonic() + 10
    while alive(worker) and time.monotonic() < until:
        state = Path(f"/proc/{worker}/stat")
        if state.exists() and state.read_text().split()[2] == "Z":
            return  # nobody has collected it yet
        time.sleep(0.05)
    assert not alive(worker)
