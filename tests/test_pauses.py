"""What is there for good is out of the garbage collector's sight, and nothing else is."""

from __future__ import annotations

import subprocess
import sys

# in a process of its own: what is frozen stays so, and the limits hold for all of the process
PROGRAM = """
import gc, sys, weakref
from monitor.pauses import SWITCH_S, YOUNG_OBJECTS, Lasting, shorten

class Node:
    pass

shorten()
assert sys.getswitchinterval() == SWITCH_S and gc.get_threshold()[0] == YOUNG_OBJECTS
assert gc.isenabled()

lasting, replaced = Lasting(), Node()
ends = weakref.ref(replaced)
lasting.note()
seen = gc.get_freeze_count()
assert seen > 1_000 and len(gc.get_objects()) < seen / 10

cycle = Node()
cycle.itself, gone = cycle, weakref.ref(cycle)
lasting.note()
assert gc.get_freeze_count() == seen  # nothing was imported
del cycle, replaced
assert ends() is None  # what was frozen is freed by its reference count
gc.collect()
assert gone() is None  # cycles that came later are found as ever

import wave
before = gc.get_freeze_count()
lasting.note()
assert gc.get_freeze_count() > before
print("all is well")
"""


def test_what_was_imported_is_looked_at_no_more_and_garbage_still_is() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.stdout == "all is well\n", done.stderr
