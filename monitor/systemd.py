"""What the process tells systemd: that it is ready, reloading, stopping, and that its loops still turn.

Does nothing where ``NOTIFY_SOCKET`` is not set. Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
import time


def notify(*assignments: str) -> bool:
    """Send assignments such as ``READY=1`` to the service manager; return whether one took them.

    >>> notify("READY=1") if "NOTIFY_SOCKET" not in os.environ else False
    False
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            sender.send("\n".join(assignments).encode())
        except OSError:  # a manager that is gone is no reason to stop
            return False
    return True


def reloading() -> bool:
    """Say that the configuration is being read again, with the moment that systemd asks for."""
    now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
    return notify("RELOADING=1", f"MONOTONIC_USEC={now_us}")


def watchdog_interval_s() -> float | None:
    """Return how often systemd is to be told that all is well: half its limit, None if it does not ask."""
    limit_us, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(limit_us) / 2e6 if limit_us.isdecimal() and int(limit_us) and pid == str(os.getpid()) else None
