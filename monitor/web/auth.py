"""Basic authentication with bcrypt hashes, made safe to expose to guessing.

Order of the work: a login that succeeded lately is known by a keyed hash and costs nothing; then the rate
limit, per address and overall; only then bcrypt, one at a time, in a thread. An unknown user is checked
against a hash of the same cost, so that time tells nothing.
"""

from __future__ import annotations

import asyncio
import binascii
import hmac
import re
import secrets
import time
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.errors import ConfigError

MAX_PASSWORD_BYTES = 72  # more than bcrypt looks at: refused, never cut
REMEMBER_S = 300.0
MAX_REMEMBERED = 1_024
MAX_WAITING = 8
BCRYPT = re.compile(rb"\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")


class Bucket:
    """Token bucket: ``burst`` at once, then ``per_second``."""

    def __init__(self, *, burst: float, per_second: float, now_s: float) -> None:
        self._burst, self._rate, self._tokens, self._at_s = burst, per_second, burst, now_s

    def take(self, now_s: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class BasicAuth:
    """ASGI middleware that lets through only requests with a right password; all of them without users.

    Parameters
    ----------
    app
        The application behind it.
    users
        User names to bcrypt hashes, as exporter-toolkit's ``basic_auth_users``.
    monotonic_s
        Clock of the rate limit and of the memory of good logins.

    Raises
    ------
    ConfigError
        When a hash is not a bcrypt hash.
    """

    def __init__(
        self, app: ASGIApp, users: Mapping[str, str], monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._now_s = monotonic_s
        self._key = secrets.token_bytes(32)
        self._good: OrderedDict[bytes, float] = OrderedDict()
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._overall = Bucket(burst=10, per_second=2, now_s=monotonic_s())
        self._waiting = 0
        self._pool: ThreadPoolExecutor | None = None
        self.set_users(users)

    def set_users(self, users: Mapping[str, str]) -> None:
        """Replace all users; what was remembered of changed ones no longer counts."""
        hashes = {name: text.encode() for name, text in users.items()}
        costs = [b"04"]
        for name, hashed in hashes.items():
            found = BCRYPT.fullmatch(hashed)
            if found is None:
                message = f"server.basic_auth.{name}: no bcrypt hash; make one with htpasswd -nBC 10 NAME"
                raise ConfigError([message])
            costs.append(found[1])
        # Nobody's hash, of nobody's password: it only has to take as long. Nothing is hashed here, as at a
        # cost of 12 that would hold up the start for half a second.
        self._users, self._dummy = hashes, b"$2b$%b$%b" % (max(costs), b"." * 53)

    @property
    def has_users(self) -> bool:
        """Whether a login is asked for."""
        return bool(self._users)

    def close(self) -> None:
        """End the hashing thread."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = await self._status(scope) if self._users else 200
        if status == 200:
            return await self._app(scope, receive, send)
        if status == 429:
            answer = JSONResponse({"error": "too many login attempts; wait a second"}, 429)
            answer.headers["Retry-After"] = "1"
        else:
            answer = JSONResponse({"error": "a user name and its password are needed"}, 401)
            answer.headers["WWW-Authenticate"] = 'Basic realm="model-monitor", charset="UTF-8"'
        return await answer(scope, receive, send)

    async def _status(self, scope: Scope) -> int:
        login = _login(Headers(scope=scope).get("authorization", ""))
        if login is None:
            return 401
        user, password = login
        users, dummy = self._users, self._dummy
        hashed = users.get(user, dummy)
        token = hmac.digest(self._key, b"\0".join((user.encode(), hashed, password)), "sha256")
        now_s = self._now_s()
        if self._good.get(token, -1.0) >= now_s:
            self._remember(token, now_s)
            return 200
        if len(password) > MAX_PASSWORD_BYTES:
            return 401
        address = (scope.get("client") or ("",))[0]
        if self._waiting >= MAX_WAITING or not self._may_try(address, now_s):
            return 429
        right = await self._check(password, hashed) and user in users
        if right:
            self._remember(token, now_s)
        return 200 if right else 401

    async def _check(self, password: bytes, hashed: bytes) -> bool:
        import bcrypt

        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, bcrypt.checkpw, password, hashed)
        except ValueError:  # a password that bcrypt does not take
            return False
        finally:
            self._waiting -= 1

    def _remember(self, token: bytes, now_s: float) -> None:
        self._good[token] = now_s + REMEMBER_S
        self._good.move_to_end(token)
        while len(self._good) > MAX_REMEMBERED:
            self._good.popitem(last=False)

    def _may_try(self, address: str, now_s: float) -> bool:
        bucket = self._buckets.setdefault(address, Bucket(burst=5, per_second=1, now_s=now_s))
        self._buckets.move_to_end(address)
        while len(self._buckets) > MAX_REMEMBERED:
            self._buckets.popitem(last=False)
        return bucket.take(now_s) and self._overall.take(now_s)


def _login(header: str) -> tuple[str, bytes] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None
