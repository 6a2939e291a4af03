"""Standard Webhooks signatures (https://www.standardwebhooks.com): sign, and verify as a receiver does."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as random
from collections.abc import Mapping, Sequence

from monitor.errors import ActionError

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a secret


def parse_secret(text: str) -> bytes:
    """Return the key of a secret written ``whsec_`` + base64 of 24 to 64 bytes.

    Raises
    ------
    ActionError
        With what is allowed; never with the secret.
    """
    text = text.strip()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX).encode(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ActionError(
            f"webhook secret: must be {PREFIX!r} and then the base64 of {SHORTEST} to {LONGEST} random bytes"
        ) from None
    return key


def new_secret() -> str:
    """Return a fresh random secret."""
    return PREFIX + base64.b64encode(random.token_bytes(32)).decode()


def sign(message_id: str, timestamp_s: int, body: bytes, secrets: Sequence[str]) -> str:
    """Return the ``webhook-signature`` header: one ``v1,`` signature for each secret, space separated.

    Several secrets (old and new) let receivers change theirs at leisure while they rotate.

    >>> secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    >>> sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret])
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='

    Raises
    ------
    ActionError
        When there is no secret or one is malformed.
    """
    if not secrets:
        raise ActionError("webhook secret: none is given; at least one is needed to sign")
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp_s, body)
    digests = (hmac.new(parse_secret(secret), signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    *,
    now_s: float,
    tolerance_s: float = 300.0,
) -> str:
    """Check a received request and return its ``webhook-id``.

    ``body`` are the bytes as received. ``headers`` may be in any case.

    Raises
    ------
    ActionError
        When a header is missing, the timestamp is more than ``tolerance_s`` from now, or no signature fits.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, stamp, given = (lower[f"webhook-{k}"] for k in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise ActionError(f"webhook request: header {error.args[0]} is missing") from None
    if not (stamp.isascii() and stamp.isdecimal() and abs(int(stamp[:15]) - now_s) <= tolerance_s):
        raise ActionError(f"webhook request: webhook-timestamp must be within {tolerance_s:g} s of now")
    wanted = sign(message_id, int(stamp), body, secrets).split(" ")
    if not any(
        hmac.compare_digest(one.encode(), other.encode()) for one in given.split(" ") for other in wanted
    ):
        raise ActionError("webhook request: no signature fits the body and the secret")
    return message_id
