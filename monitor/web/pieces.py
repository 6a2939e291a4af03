"""A body in pieces of which each is compressed once, however often it is sent.

A gzip member is a header, deflate blocks, and checksum and length of it all. Blocks that end on a byte and
look back at nothing before them can follow each other in any member; so what is the same in every scrape is
kept compressed, and joined to what has changed (RFC 1951, 1952).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

LEVEL = 3
_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time, system unknown
_LAST = b"\x03\x00"  # an empty last block


class Piece:
    """A part of a body; its forms are shared between answers, so that a hundred slow readers hold one copy.

    Attributes
    ----------
    text
        As it is.
    deflated
        As deflate blocks, none of them the last one.

    Examples
    --------
    >>> import gzip
    >>> gzip.decompress(b"".join(gzipped([Piece(b"one, "), Piece(b""), Piece(b"two")])))
    b'one, two'
    """

    def __init__(self, text: bytes) -> None:
        self.text = text
        squeeze = zlib.compressobj(LEVEL, wbits=-zlib.MAX_WBITS)
        self.deflated = squeeze.compress(text) + squeeze.flush(zlib.Z_SYNC_FLUSH)


def gzipped(pieces: Sequence[Piece]) -> tuple[bytes, ...]:
    """Return one gzip member, in parts, of the texts one after another."""
    checksum = size = 0
    for piece in pieces:
        checksum, size = zlib.crc32(piece.text, checksum), size + len(piece.text)
    end = _LAST + struct.pack("<II", checksum, size % (1 << 32))
    return (_HEAD, *(piece.deflated for piece in pieces), end)
