"""Label values that no scrape can choke on: printable, valid UTF-8, bounded in length, still distinct."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

MAX_CHARS = 128


@lru_cache(maxsize=65_536)
def label_value(value: str) -> str:
    r"""Return ``value`` if it is short and printable, else a cleaned form with a hash of the original.

    Lone surrogates (which would break every later scrape), control characters and other unprintable
    ones become U+FFFD; the hash keeps two values apart that clean to the same text.

    >>> label_value("plan=gold")
    'plan=gold'
    >>> label_value("a\nb")
    'a\ufffdb~59900c43'
    >>> len(label_value("x" * 1_000_000))
    128
    """
    if len(value) <= MAX_CHARS and value.isprintable():
        return value
    digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    kept = value[: MAX_CHARS - len(digest) - 1]
    return "".join(c if c.isprintable() else "\ufffd" for c in kept) + "~" + digest
