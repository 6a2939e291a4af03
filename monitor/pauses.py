"""Keeping the interpreter's own pauses short, so that a scrape is answered while batches land.

A full collection of garbage goes over every object there is, modules and all, and nothing else runs
meanwhile: 100 ms for the daemon, once a second at full ingest. What is there for good is therefore taken out
of its sight. And whoever waits for the interpreter gets it after a millisecond instead of five; an answer
waits several times.
"""

from __future__ import annotations

import gc
import sys

SWITCH_S = 0.001
YOUNG_OBJECTS = 50_000  # more than the records under way, which need no search for cycles


class Lasting:
    """What is out of the collector's sight: all there was when :meth:`note` last found new modules.

    What is replaced later, such as results, is freed by its reference count as ever.
    """

    def __init__(self) -> None:
        self._modules = 0

    def note(self) -> None:
        """Put what is there now out of sight, if modules have been imported since; takes microseconds."""
        if len(sys.modules) > self._modules:
            gc.freeze()
            self._modules = len(sys.modules)

    def forget(self) -> None:
        """Let the collector see all again before the process ends: what is never freed is called a leak."""
        gc.unfreeze()


def shorten() -> None:
    """Set the whole process up for short pauses."""
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    sys.setswitchinterval(SWITCH_S)
