"""The bytes of a model: read once, hashed, and loaded from what was read, so that no other ones can be."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from monitor.errors import ExplainError
from monitor.explain.settings import Settings

MAX_FILES = 10_000


def read_model(settings: Settings) -> bytes | Path:
    """Return a model file's bytes, or of an MLflow folder a private copy; both have the configured hash.

    A remote model has none and gives ``b""``.

    Raises
    ------
    ExplainError
        When it cannot be read or is another one.
    """
    if not settings.path:
        return b""
    path = Path(settings.path)
    try:
        if settings.kind == "mlflow":
            return _folder(path, settings.sha256)
        data = _file(path)
    except OSError as error:
        raise ExplainError(f"{path}: cannot be read: {error.strerror}") from None
    _compare(path, hashlib.sha256(data).hexdigest(), settings.sha256)
    return data


def _compare(path: Path, found: str, wanted: str) -> None:
    if found != wanted.lower():
        raise ExplainError(
            f"{path}: its sha256 is {found}, not the configured {wanted.lower()}; it is not loaded"
        )


def _file(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not hang us
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ExplainError(f"{path}: is no regular file")
        return file.read()


def _folder(path: Path, sha256: str) -> Path:
    """Copy a folder into the working directory and compare the hash of what was copied.

    The hash is that of the lines ``sha256sum`` writes for every file, in the order of their names (as bytes):
    ``find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum``.
    """
    if not path.is_dir():
        raise ExplainError(f"{path}: is no folder")
    names, copy, lines = [], Path("model").absolute(), []
    for folder, folders, files in os.walk(path):
        for name in [*folders, *files]:
            if Path(folder, name).is_symlink():
                raise ExplainError(
                    f"{Path(folder, name)}: is a link; a model folder must hold its files itself"
                )
        names += [os.path.relpath(Path(folder, name), path) for name in files]
        if len(names) > MAX_FILES:
            raise ExplainError(f"{path}: has more than {MAX_FILES:,} files")
    for name in sorted(names, key=lambda name: b"./" + os.fsencode(name)):
        if re.search(r"[\n\r\\]", name):
            raise ExplainError(f"{path}: {name!r} is no plain file name")
        data = _file(path / name)
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        lines.append(f"{hashlib.sha256(data).hexdigest()}  ./{name}\n")
    _compare(path, hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest(), sha256)
    return copy
