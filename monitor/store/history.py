"""A copy of a store to ask its history again: events as they are, nothing decided or asked yet."""

from __future__ import annotations

import shutil
from pathlib import Path

from monitor.store.store import Store

DECIDED = ("alert_states", "transitions", "retrain_states", "retrain_requests", "outbox")


def copy_history(source: Path, target: Path, *, memory_limit_bytes: int, threads: int) -> Store:
    """Copy a store's file and open the copy as if none of its windows had been asked.

    Raises
    ------
    StoreError
        When the source cannot be opened, so also while a daemon holds it: its file is not whole then.
    """
    Store(source, memory_limit_bytes=memory_limit_bytes, threads=threads).close()  # alone, its log is in
    shutil.copyfile(source, target)
    copy = Store(target, memory_limit_bytes=memory_limit_bytes, threads=threads)
    cursor = copy.cursor()
    with copy.write(cursor):
        for table in DECIDED:
            cursor.execute(f"DELETE FROM {table}")
        # another layout than any: registering a model lays its windows anew
        cursor.execute("UPDATE models SET windowing = '', watermark_us = NULL")
    return copy
