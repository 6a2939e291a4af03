"""Send one webhook, signed unless it goes to an API of others: one attempt, and what its answer means."""

from __future__ import annotations

import base64
import email.utils
import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote_to_bytes

import httpcore
import httpx

from monitor.actions import Outcome
from monitor.actions.addresses import Resolve, check_addresses, is_listed, is_loopback_name, resolve_host
from monitor.actions.connection import Budget, CheckedBackend
from monitor.actions.signing import sign
from monitor.errors import ActionError, MonitorError
from monitor.time import SECOND_US

RESPONSE_BYTES = 64 * 1024  # of an answer's head and body; the rest is not read
RETRY_AFTER_CAP_S = 24 * 3600.0
Headers = dict[bytes | str, bytes | str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an action's webhooks go.

    Parameters
    ----------
    name
        The action's name.
    url
        ``https``; ``http`` only to a loopback host or one on the allow list. User info becomes basic auth.
    secrets
        Returns the secrets to sign with, read anew for every attempt so that they can be rotated.
    headers
        Returns further request headers, read anew for every attempt; they cannot replace our own.
    allow
        Host names, addresses and networks that may be reached although they are not public.
    ca_file
        PEM file of the authorities to trust instead of the usual ones.
    method, content_type
        Of the request.
    signed
        False leaves out the ``webhook-`` headers, for receivers that know nothing of them.
    accepted
        Statuses of 4xx that mean delivered, as 409 where the message's id makes the request a repetition.
    repeat_every_us
        Alerts that stand are posted again this often; None: never.

    Raises
    ------
    ActionError
        When the URL is not one of these; never with its user info or query.
    """

    name: str
    url: str = field(repr=False)
    secrets: Callable[[], Sequence[str]] = field(repr=False)
    allow: tuple[str, ...] = ()
    ca_file: str | None = None
    headers: Callable[[], Mapping[str, str]] = field(default=dict, repr=False)
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 10.0
    total_timeout_s: float = 15.0
    method: Literal["POST", "PUT"] = "POST"
    content_type: str = "application/json"
    signed: bool = True
    accepted: frozenset[int] = frozenset()
    repeat_every_us: int | None = None

    def __post_init__(self) -> None:
        place = f"actions.{self.name}.url"
        try:
            url = httpx.URL(self.url)
        except (httpx.InvalidURL, UnicodeError):
            raise ActionError(f"{place}: is not a URL; allowed is https://host[:port]/path") from None
        if url.scheme not in ("https", "http") or not url.host:
            raise ActionError(f"{place}: must be https://host[:port]/path; its scheme is {url.scheme!r}")
        if url.scheme == "http" and not (is_loopback_name(url.host) or is_listed(url.host, self.allow)):
            raise ActionError(
                f"{place}: http is allowed only to a loopback host or one listed in 'allow_hosts'; "
                f"use https, or list {url.host!r}"
            )


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt; ``error`` is a sentence without secrets, empty when delivered."""

    outcome: Outcome
    error: str = ""
    status: int | None = None
    retry_after_s: float | None = None
    duration_s: float = 0.0


def send(
    endpoint: Endpoint, message_id: str, body: bytes, *, now_us: int, resolve: Resolve = resolve_host
) -> Attempt:
    """Sign ``body`` as of now and post it, once. Never raises: every failure is an attempt's outcome.

    Parameters
    ----------
    now_us
        Wall clock; becomes the ``webhook-timestamp`` and the base of a dated ``Retry-After``.
    resolve
        Name resolution.
    """
    started_s = time.monotonic()
    host = httpx.URL(endpoint.url).host
    try:
        status, retry_after = _post(endpoint, _headers(endpoint, message_id, body, now_us), body, resolve)
        attempt = judge(host, status, retry_after, now_us, endpoint.accepted)
    except MonitorError as error:
        attempt = Attempt("retry", str(error))
    except httpcore.TimeoutException as error:
        attempt = Attempt("retry", f"{host}: no answer in time ({type(error).__name__})")
    except httpcore.NetworkError as error:
        attempt = Attempt("retry", f"{host}: {str(error)[:200] or type(error).__name__}")
    except Exception as error:  # the text of an unforeseen error may hold anything, so only its kind is told
        attempt = Attempt("retry", f"{host}: the attempt failed with {type(error).__name__}")
    return Attempt(
        attempt.outcome, attempt.error, attempt.status, attempt.retry_after_s, time.monotonic() - started_s
    )


def judge(
    host: str, status: int, retry_after: str | None, now_us: int, accepted: Collection[int] = ()
) -> Attempt:
    """Say what an answer means for the message.

    2xx and what is ``accepted``: delivered. 410: the receiver wants no more of them, the action is disabled.
    429, 5xx and 3xx (never followed): again later, not before ``Retry-After``. Any other: dead, it would be
    refused again.
    """
    if 200 <= status < 300 or status in accepted:
        return Attempt("delivered", status=status)
    if status == 410:
        return Attempt("disabled", f"{host}: answered 410, it wants no more requests", status)
    if 400 <= status < 500 and status != 429:
        return Attempt("dead", f"{host}: refused the request with status {status}", status)
    note = " (redirects are not followed; configure the final URL)" if 300 <= status < 400 else ""
    wait_s = parse_retry_after(retry_after, now_us)
    return Attempt("retry", f"{host}: answered {status}{note}", status, wait_s)


def parse_retry_after(value: str | None, now_us: int) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait, 0 to a day; None without a valid one.

    >>> parse_retry_after("120", 0), parse_retry_after("Thu, 01 Jan 1970 00:01:30 GMT", 60_000_000)
    (120.0, 30.0)
    """
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:15]), RETRY_AFTER_CAP_S)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        wait_s = moment.timestamp() - now_us / SECOND_US
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_CAP_S)


def _headers(endpoint: Endpoint, message_id: str, body: bytes, now_us: int) -> Headers:
    timestamp_s = now_us // SECOND_US
    url = httpx.URL(endpoint.url)
    headers: Headers = {name.lower(): value for name, value in endpoint.headers().items()}
    if url.userinfo:
        headers["authorization"] = "Basic " + base64.b64encode(unquote_to_bytes(url.userinfo)).decode()
    headers |= {
        "host": url.netloc.decode(),
        "content-type": endpoint.content_type,
        "user-agent": "model-monitor",
        "connection": "close",
    }
    if not endpoint.signed:
        return headers
    return headers | {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(message_id, timestamp_s, body, endpoint.secrets()),
    }


def _post(endpoint: Endpoint, headers: Headers, body: bytes, resolve: Resolve) -> tuple[int, str | None]:
    """Return the answer's status and its Retry-After."""

    def addresses(host: str, port: int, timeout_s: float) -> Sequence[str]:
        found = resolve(host, port, timeout_s)
        check_addresses(host, found, endpoint.allow)
        return found

    url = httpx.URL(endpoint.url)
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    backend = CheckedBackend(addresses, Budget(endpoint.total_timeout_s, RESPONSE_BYTES))
    timeouts = dict.fromkeys(("read", "write", "pool"), endpoint.read_timeout_s)
    timeouts["connect"] = endpoint.connect_timeout_s
    with (
        httpcore.ConnectionPool(ssl_context=_tls(endpoint, url.scheme), network_backend=backend) as pool,
        pool.stream(
            endpoint.method, target, headers=headers, content=body, extensions={"timeout": timeouts}
        ) as response,
    ):
        retry_after = {k.lower(): v for k, v in response.headers}.get(b"retry-after")
        _drain(response)
        return response.status, retry_after.decode("latin-1") if retry_after else None


def _drain(response: httpcore.Response) -> None:
    """Read what the budget allows of the body: the status has said it all, this only lets the peer finish."""
    try:
        for _ in response.iter_stream():
            pass
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
        return


def _tls(endpoint: Endpoint, scheme: str) -> ssl.SSLContext | None:
    if scheme == "http":
        return None
    if endpoint.ca_file:
        return ssl.create_default_context(cafile=endpoint.ca_file)
    return httpx.create_ssl_context()
