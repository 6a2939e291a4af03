"""A terminal for programs to run in: a real pty, and an emulator of the control sequences they may send."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Emulator:
    """A main and an alternate screen of characters; what it does not know is an error of the program."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.main, self.other = self._blank(), self._blank()
        self.alternate, self.cursor_shown = False, True
        self.at = [0, 0]  # row, column
        self.scrolled: list[str] = []  # what has left the main screen at its top
        self.wrapped = 0  # lines that were longer than the alternate screen is wide
        self._rest = ""

    def _blank(self) -> list[list[str]]:
        return [[" "] * self.columns for _ in range(self.rows)]

    @property
    def grid(self) -> list[list[str]]:
        return self.other if self.alternate else self.main

    @property
    def text(self) -> str:
        """The screen as people see it now."""
        return "\n".join("".join(line).rstrip() for line in self.grid)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size as a terminal does: what no longer fits is cut off, the rest stays where it is."""
        self.columns, self.rows = columns, rows
        for grid in (self.main, self.other):
            grid[:] = [(line + [" "] * columns)[:columns] for line in grid[:rows]]
            grid += [[" "] * columns for _ in range(rows - len(grid))]
        self.at = [min(self.at[0], rows - 1), min(self.at[1], columns - 1)]

    def feed(self, text: str) -> None:
        """Take what the program wrote."""
        text = self._rest + text
        self._rest = ""
        place = 0
        while place < len(text):
            if text[place] == "\x1b":
                found = CONTROL.match(text, place)
                if not found:
                    assert re.fullmatch(r"\x1b(\[[?0-9;]*)?", text[place:]), repr(text[place : place + 12])
                    self._rest = text[place:]
                    return
                self._control(found[1], found[2])
                place = found.end()
            else:
                self._put(text[place])
                place += 1

    def _control(self, given: str, kind: str) -> None:
        if kind == "m":
            return
        if (given, kind) in (("?1049", "h"), ("?1049", "l")):
            self.alternate = kind == "h"
            self.other = self._blank()
        elif (given, kind) in (("?25", "h"), ("?25", "l")):
            self.cursor_shown = kind == "h"
        elif kind == "H" and given == "":
            self.at = [0, 0]
        else:
            raise AssertionError(f"ESC [ {given}{kind}")

    def _put(self, character: str) -> None:
        if character == "\r":
            self.at[1] = 0
        elif character == "\n":
            self.at[0] += 1
            if self.at[0] == self.rows:
                self.grid.append([" "] * self.columns)
                gone = "".join(self.grid.pop(0)).rstrip()
                self.scrolled += [] if self.alternate else [gone]
                self.at[0] -= 1
        else:
            if self.at[1] == self.columns:
                self.wrapped += self.alternate
                self.at[1] = 0
                self._put("\n")
            self.grid[self.at[0]][self.at[1]] = character
            self.at[1] += 1


class InTerminal:
    """A program in a terminal of its own."""

    def __init__(
        self, command: Sequence[str], *, columns: int, rows: int, cwd: Path, environment: Mapping[str, str]
    ) -> None:
        self.screen = Emulator(columns, rows)
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._keys, theirs = pty.openpty()
        self._size(columns, rows)
        outer = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}  # of another terminal
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env={**outer, **environment},
            start_new_session=True, preexec_fn=_controlling,
        )  # fmt: skip
        os.close(theirs)

    def resize(self, columns: int, rows: int) -> None:
        """Change the terminal's size and tell the program."""
        self.screen.resize(columns, rows)
        self._size(columns, rows)
        self.process.send_signal(signal.SIGWINCH)

    def _size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._keys, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        """Type on the terminal's keyboard."""
        os.write(self._keys, keys.encode())

    def until(self, question: Callable[[Emulator], bool], within_s: float) -> None:
        """Show what the program writes until the screen is as asked."""
        deadline_s = time.monotonic() + within_s
        while not question(self.screen):
            assert time.monotonic() < deadline_s, self.screen.text
            assert self.read(0.2) or self.process.poll() is None, self.screen.text

    def read(self, within_s: float) -> bool:
        """Show what there is to read; tell whether there was any."""
        ready, _, _ = select.select([self._keys], [], [], within_s)
        if not ready:
            return False
        try:
            some = os.read(self._keys, 1 << 16)
        except OSError:  # Linux' way to say that nobody has the other end
            return False
        self.screen.feed(self._decode(some))
        return bool(some)

    def close(self, within_s: float = 60.0) -> int:
        """Read to the end; return the exit code."""
        deadline_s = time.monotonic() + within_s
        while self.read(0.2) or self.process.poll() is None:
            if time.monotonic() > deadline_s:
                self.process.kill()
        os.close(self._keys)
        return self.process.wait()


def _controlling() -> None:
    """Make the terminal the one whose Ctrl-C reaches the program."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
