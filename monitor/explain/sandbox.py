"""What a worker takes from itself before it touches a model: limits first, then the right to reach outward.

:func:`limit` is for the start, :func:`confine` for the moment between the last import and the first byte of
the model. On Linux (x86-64, AArch64) the kernel enforces the second by a seccomp filter, for native code and
all threads, without any privilege; elsewhere a Python audit hook stands in, which native code can go round.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from typing import Any

from monitor.explain import seccomp

OPEN_FILES = 256
_PR_SET_PDEATHSIG = 1
_NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo")
_OUTWARD = (
    "os.chmod", "os.chown", "os.exec", "os.fork", "os.forkpty", "os.killpg", "os.link", "os.mkdir",
    "os.posix_spawn", "os.remove", "os.rename", "os.rmdir", "os.spawn", "os.symlink", "os.system",
    "os.truncate", "os.utime", "shutil.rmtree", "subprocess.Popen",
)  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def limit(memory_bytes: int, parent: int) -> None:
    """Bound memory and files, leave no core, take only idle processors, and die with the parent process.

    Memory is private writable memory (``RLIMIT_DATA``), not address space: thread pools and memory-mapped
    libraries reserve gigabytes of that and use none.
    """
    for what, value in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (most, most))
    os.nice(19)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may not know it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        seccomp.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it was asked for
            os._exit(0)


def cpu_limit(seconds: float) -> None:
    """Let the process use this many more seconds of CPU; then the kernel ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = int(used.ru_utime + used.ru_stime + seconds) + 2
    with contextlib.suppress(ValueError, OSError):  # a lower hard limit is already in force
        resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def confine(*, network: bool, kernel: bool = True) -> str:
    """Give up writing files, starting processes, signalling others and, unless ``network``, sockets.

    Returns
    -------
    str
        Who enforces it: ``seccomp`` or ``audit hook``. ``kernel=False`` chooses the second.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if kernel and seccomp.install(network=network):
        return "seccomp"
    refused = {*_OUTWARD, *(() if network else _NETWORK)}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        other = event == "os.kill" and arguments[0] != os.getpid()
        if other or event in refused or (event == "open" and _writes(*arguments[1:3])):
            raise PermissionError(f"a model may not do this: {event}")

    sys.addaudithook(hook)
    return "audit hook"


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str) and set(mode) & set("wax+"):
        return True
    return isinstance(flags, int) and bool(flags & _WRITES)
