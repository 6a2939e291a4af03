"""What a worker gives up, tried in processes of their own; and that its answers are not trusted."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import ExplainError
from monitor.explain import Explained, seccomp, wire

REFUSED = {
    "connect": "socket.socket().connect(('127.0.0.1', 9))",
    "bind": "socket.socket().bind(('127.0.0.1', 0))",
    "resolve": "socket.getaddrinfo('nowhere.invalid', 80)",
    "run": "subprocess.run(['true'])",
    "fork": "os.fork()",
    "write": "open('written', 'w')",
    "append": "open('kept', 'a')",
    "remove": "os.remove('kept')",
    "rename": "os.rename('kept', 'other')",
    "mkdir": "os.mkdir('folder')",
    "chmod": "os.chmod('kept', 0o777)",
    "kill": "os.kill(os.getppid(), 0)",
}
ALLOWED = {
    "read": "open('kept').read()",
    "thread": "t = threading.Thread(target=print); t.start(); t.join()",
    "pool": "ThreadPoolExecutor(2).submit(int).result()",
    "own signal": "os.kill(os.getpid(), 0)",
    "import": "import colorsys",
    "answer": "os.write(1, b'')",
}


def tried(tmp_path: Path, *, kernel: bool, network: bool) -> dict[str, str]:
    """Confine a process and return what became of each act."""
    (tmp_path / "kept").write_text("kept")
    code = f"""
        import json, os, socket, subprocess, sys, threading
        from concurrent.futures import ThreadPoolExecutor
        from monitor.explain import sandbox
        found = {{"by": sandbox.confine(network={network}, kernel={kernel})}}
        for name, act in json.loads(sys.argv[1]).items():
            try:
                exec(act)
                found[name] = "done"
            except PermissionError:
                found[name] = "refused"
            except OSError as error:
                found[name] = type(error).__name__
        print(json.dumps(found))
    """
    acts = json.dumps({**REFUSED, **ALLOWED})
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), acts],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "kept").read_text() == "kept"
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_the_kernel_refuses_what_reaches_outward_and_allows_what_computing_needs(tmp_path: Path) -> None:
    found = tried(tmp_path, kernel=True, network=False)
    assert found.pop("by") == "seccomp"
    assert found.pop("resolve") == "gaierror"  # the C library's word for it
    assert {n for n, what in found.items() if what == "refused"} == set(REFUSED) - {"resolve"}
    assert {n for n, what in found.items() if what == "done"} == set(ALLOWED)


def test_elsewhere_a_hook_in_python_refuses_the_same(tmp_path: Path) -> None:
    found = tried(tmp_path, kernel=False, network=False)
    assert found.pop("by") == "audit hook"
    assert {n for n, what in found.items() if what == "refused"} == set(REFUSED)
    assert {n for n, what in found.items() if what == "done"} == set(ALLOWED)


@pytest.mark.parametrize("kernel", [True, False])
def test_the_worker_of_a_remote_model_keeps_the_network_and_nothing_else(
    tmp_path: Path, kernel: bool
) -> None:
    found = tried(tmp_path, kernel=kernel, network=True)
    assert (found["connect"], found["bind"], found["resolve"]) == (
        "ConnectionRefusedError",
        "done",
        "gaierror",
    )
    assert {found[name] for name in ("run", "fork", "write", "remove", "kill")} == {"refused"}


@pytest.mark.parametrize(("column", "arch"), [(0, 0xC000003E), (1, 0xC00000B7)], ids=["x86-64", "AArch64"])
def test_every_jump_of_the_filter_lands_inside_it(column: int, arch: int) -> None:
    code = seccomp.program(column, arch, 4242, network=False)
    assert len(code) < 4096  # the kernel's limit
    for i, (kind, true, false, _) in enumerate(code):
        if kind & 0x07 == 0x05:
            assert i + 1 + max(true, false) < len(code)
    assert code[-1][0] == 0x06


def answer(**changed: object) -> tuple[dict[str, object], bytes]:
    whole = Explained(np.ones((2, 1, 3)), np.ones((2, 1)), np.full((2, 1), 4.0), ("a", "b", "c"), ("1",))
    head, payload = wire.explained_message(whole)
    return head | changed, payload


def test_an_explanation_travels_unchanged() -> None:
    head, payload = answer()
    found = wire.read_explained(head, payload, rows=2)
    assert found.values.tolist() == [[[1.0] * 3]] * 2
    assert (found.base.tolist(), found.scores.tolist()) == ([[1.0]] * 2, [[4.0]] * 2)
    assert (found.features, found.outputs, found.units) == (("a", "b", "c"), ("1",), "margin")


@pytest.mark.parametrize(
    "changed",
    [
        {"shape": [3, 1, 3]},
        {"shape": [-1, 1, 3]},
        {"shape": [2, 1, 10**12]},
        {"shape": "x"},
        {"features": ["a"]},
        {"outputs": None},
        {"units": {}, "shape": None},
    ],
    ids=str,
)
def test_an_answer_that_does_not_fit_is_refused(changed: dict[str, object]) -> None:
    head, payload = answer(**changed)
    with pytest.raises(ExplainError, match="worker's answer"):
        wire.read_explained(head, payload, rows=2)


def test_numbers_that_are_none_garbage_and_endless_answers_are_refused() -> None:
    head, payload = answer()
    with pytest.raises(ExplainError, match="not finite"):
        wire.read_explained(head, b"\xff" * len(payload), rows=2)
    with pytest.raises(ExplainError, match="wrong length"):
        wire.read_explained(head, payload[:-8], rows=2)
    for text in (b"garbage", b"[" * 100_000, b"[]", b"\xff"):
        with pytest.raises(ExplainError, match="cannot be read"):
            wire.read_head(text)
    with pytest.raises(ExplainError, match="too long"):
        wire.lengths(wire.HEADER.pack(10, 2**31), most=1000)
