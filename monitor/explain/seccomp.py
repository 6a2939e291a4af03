"""A seccomp filter by ctypes: the kernel refuses a list of system calls to this process, for good.

It needs no privilege (``no_new_privs`` comes first) and holds for every thread and for native code. What is
refused fails with EPERM, so that a library which can do without goes on.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable

_PR_SET_NO_NEW_PRIVS, _SECCOMP_SET_MODE_FILTER, _TSYNC = 38, 1, 1
_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of BPF: load word, jumps, return
_NR, _ARCH, _ARG0, _ARG1, _ARG2 = 0, 4, 16, 24, 32  # offsets in struct seccomp_data, little endian
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x10000
_OPEN_WRITES = 0o3 | 0o100 | 0o1000 | 0o20000000  # WRONLY|RDWR, CREAT, TRUNC, and the bit of TMPFILE

# Name -> number on x86-64 and on AArch64 (None: there is no such call).
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "creat": (85, None), "truncate": (76, 45), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None),
    "link": (86, None), "linkat": (265, 37), "unlink": (87, None), "unlinkat": (263, 35),
    "symlink": (88, None), "symlinkat": (266, 36), "mknod": (133, None), "mknodat": (259, 33),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "mount": (165, 40), "umount2": (166, 39), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425), "bpf": (321, 280), "perf_event_open": (298, 241),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
}  # fmt: skip
_NETWORK: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211),
}  # fmt: skip
_OPEN, _OPENAT, _OPENAT2 = (2, None), (257, 56), (437, 437)
_CLONE, _CLONE3, _KILL, _TGKILL, _PRLIMIT = (56, 220), (435, 435), (62, 129), (234, 131), (302, 261)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7), "arm64": (1, 0xC00000B7)}
_SECCOMP_CALL = (317, 277)

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def prctl(option: int, value: int) -> int:
    """Call prctl(2)."""
    return int(ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def program(arch: int, audit_arch: int, pid: int, *, network: bool) -> list[Instruction]:
    """Return the filter for architecture column ``arch``; only process ``pid`` may be signalled."""
    refuse = (_RETURN, 0, 0, _ERRNO | _EPERM)
    missing = (_RETURN, 0, 0, _ERRNO | _ENOSYS)

    def when(call: tuple[int | None, int | None], *then: Instruction) -> list[Instruction]:
        """Run ``then`` for one call; it must end in a return, and may have changed the accumulator."""
        number = call[arch]
        return [] if number is None else [(_JEQ, 0, len(then), number), *then]

    def unless(offset: int, allowed: Iterable[int]) -> list[Instruction]:
        """Refuse unless an argument is one of ``allowed``."""
        tests = [one for value in allowed for one in ((_JEQ, 0, 1, value), (_RETURN, 0, 0, _ALLOW))]
        return [(_LOAD, 0, 0, offset), *tests, refuse]

    def bits(offset: int, mask: int, *, refused: bool) -> list[Instruction]:
        """Refuse when an argument has (or, with ``refused=False``, lacks) one of the bits of ``mask``."""
        first, second = (refuse, (_RETURN, 0, 0, _ALLOW)) if refused else ((_RETURN, 0, 0, _ALLOW), refuse)
        return [(_LOAD, 0, 0, offset), (_JSET, 0, 1, mask), first, second]

    body: list[Instruction] = [(_LOAD, 0, 0, _ARCH), (_JEQ, 1, 0, audit_arch), refuse, (_LOAD, 0, 0, _NR)]
    if arch == 0:
        body += [(_JGE, 0, 1, 0x40000000), refuse]  # the x32 numbers of the same calls
    for call in [*_REFUSED.values(), *(() if network else _NETWORK.values())]:
        body += when(call, refuse)
    body += when(_OPEN, *bits(_ARG1, _OPEN_WRITES, refused=True))
    body += when(_OPENAT, *bits(_ARG2, _OPEN_WRITES, refused=True))
    body += when(_OPENAT2, missing) + when(_CLONE3, missing)  # the C library then takes the older call
    body += when(_CLONE, *bits(_ARG0, _CLONE_THREAD, refused=False))
    body += when(_KILL, *unless(_ARG0, [pid])) + when(_TGKILL, *unless(_ARG0, [pid]))
    body += when(_PRLIMIT, *unless(_ARG0, [0, pid]))
    return [*body, (_RETURN, 0, 0, _ALLOW)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def install(*, network: bool) -> bool:
    """Put the filter in force; False where the system has none."""
    column = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or column is None or prctl(_PR_SET_NO_NEW_PRIVS, 1) != 0:
        return False
    instructions = program(*column, os.getpid(), network=network)
    code = b"".join(struct.pack("<HBBI", *one) for one in instructions)
    argument = _Program(len(instructions), code)
    call = ctypes.CDLL(None).syscall
    return bool(call(_SECCOMP_CALL[column[0]], _SECCOMP_SET_MODE_FILTER, _TSYNC, ctypes.byref(argument)) == 0)
