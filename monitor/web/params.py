"""Query parameters of the API: unknown or wrong ones are refused with what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from starlette.datastructures import QueryParams

from monitor.time import from_rfc3339
from monitor.types import ALL_VERSIONS, AlertPhase
from monitor.web.backend import ResultsQuery

SERIES = ("model", "version", "metric", "feature", "attribute", "group", "segment")
LATEST = "latest"
ALL = "all"


class BadRequest(Exception):
    """The request is wrong; the message says how and what is allowed."""


def known(params: QueryParams, allowed: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters as a dict.

    Raises
    ------
    BadRequest
        For one that is not allowed, or given twice.
    """
    for name in params:
        if name not in allowed:
            raise BadRequest(f"unknown parameter {name!r}; allowed: {', '.join(allowed)}")
        if len(params.getlist(name)) > 1:
            raise BadRequest(f"parameter {name!r} is given more than once; give it once")
    return dict(params)


def limit(params: Mapping[str, str], default: int, most: int) -> int:
    """Return the ``limit`` parameter, 1 to ``most``."""
    text = params.get("limit", str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= most):
        raise BadRequest(f"limit is {text!r}; allowed: a whole number from 1 to {most}")
    return int(text)


def one_of(params: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    """Return a parameter that has one of a few values, None when it is not given."""
    text = params.get(name)
    if text not in (None, *allowed):
        raise BadRequest(f"{name} is {text!r}; allowed: {', '.join(allowed)}")
    return text


def results_query(params: QueryParams) -> tuple[ResultsQuery, bool]:
    """Return the query, and whether only the newest windows are asked for."""
    given = known(params, (*SERIES, "window", "limit"))
    start_us = window_start(given, LATEST, ALL)
    names = {name: given.get(name) for name in SERIES}
    rows = limit(given, 1_000, 10_000)
    return ResultsQuery(**names, window_start_us=start_us, limit=rows), given.get("window", LATEST) == LATEST


def window_start(given: Mapping[str, str], *words: str) -> int | None:
    """Return the start that the ``window`` parameter names; None where it is one of the ``words``."""
    window = given.get("window", LATEST)
    if window in (LATEST, *words):
        return None
    try:
        return from_rfc3339(window)
    except (ValueError, OverflowError) as error:
        allowed = f"{', '.join(words or (LATEST,))}, or a window's start such as 2026-11-22T09:00:00Z"
        raise BadRequest(f"window is {window!r}; allowed: {allowed}") from error


def series_query(params: QueryParams) -> ResultsQuery:
    """Return the query for one series: what is not given must be absent, the version is all together."""
    given = known(params, (*SERIES, "limit"))
    for name in ("model", "metric"):
        if not given.get(name):
            raise BadRequest(f"parameter {name!r} is missing; a series needs model and metric")
    names: dict[str, Any] = {"version": ALL_VERSIONS} | {
        name: value for name, value in given.items() if name != "limit"
    }
    rows = limit(given, 200, 5_000)
    return replace(ResultsQuery("", "", "", "", "", "", "", limit=rows), **names)


def alert_filter(params: QueryParams) -> dict[str, str]:
    """Return the fields that alerts are to have."""
    given = known(params, ("model", "alert", "severity", "phase"))
    one_of(given, "phase", get_args(AlertPhase))
    return given
