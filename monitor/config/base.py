"""The building blocks of every section: the strict base model and the scalar types of the YAML.

Durations are whole microseconds on the fields, sizes whole bytes, paths absolute. A validator's message
begins with ``must`` and does not contain the value: the loader adds it where it may be shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from monitor.time import DAY_US, HOUR_US, MINUTE_US, SECOND_US

UNITS_US = {
    "w": 7 * DAY_US,
    "d": DAY_US,
    "h": HOUR_US,
    "m": MINUTE_US,
    "s": SECOND_US,
    "ms": 1_000,
    "us": 1,
}
UNITS_BYTES = {
    **{unit: 1000**power for power, unit in enumerate(("B", "KB", "MB", "GB", "TB"))},
    **{unit: 1024**power for power, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))},
}
MAX_DURATION_US = 36_525 * DAY_US
_DURATION = r"(?:[0-9]{1,15}(?:\.[0-9]{1,6})?(?:us|ms|s|m|h|d|w))"
_SIZE = r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([KMGT]i?B|B)"


class Section(BaseModel):
    """Base of every part of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


def _nothing_to_mapping(value: object) -> object:
    return {} if value is None else value


# A section given without content (``drift:``) is the section with its defaults.
Given = BeforeValidator(_nothing_to_mapping)


def kind_of(value: object) -> str | None:
    """Return a mapping's ``kind``, the tag of unions that have one."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


def tagged(tag: Callable[[Any], str | None], allowed: str) -> Discriminator:
    """Choose a union's branch by ``tag``; ``allowed`` says what is, when no branch fits."""
    return Discriminator(tag, custom_error_type="branch", custom_error_message=allowed)


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def one_or_many(item: Any) -> BeforeValidator:
    """Annotate ``tuple[item, ...]`` so that a single item may be written without brackets."""
    return BeforeValidator(_listed, json_schema_input_type=item | tuple[item, ...])


def private(message: str) -> PydanticCustomError:
    """Return the error to raise about a value that no message may repeat."""
    return PydanticCustomError("private", message)


def parse_duration(value: object) -> int:
    """Parse ``90s``, ``5m``, ``1h30m``, ``7d`` to microseconds.

    >>> parse_duration("1h30m")
    5400000000

    Raises
    ------
    ValueError
        When ``value`` is no duration or longer than a hundred years.
    """
    if value == 0 and not isinstance(value, bool):
        return 0
    if not isinstance(value, str) or not re.fullmatch(f"{_DURATION}{{1,7}}", value):
        raise ValueError("must be a duration with its unit (us, ms, s, m, h, d, w), as in 90s, 5m, 1h30m, 7d")
    parts = re.findall(r"([0-9.]+)([a-z]+)", value)
    total = round(sum(float(n) * UNITS_US[u] if "." in n else int(n) * UNITS_US[u] for n, u in parts))
    if total > MAX_DURATION_US:
        raise ValueError("must be at most 36525d")
    return total


def format_duration(time_us: int) -> str:
    """Write microseconds in the largest unit that divides them.

    >>> format_duration(5_400_000_000)
    '90m'
    """
    unit = next(u for u in ("d", "h", "m", "s", "ms", "us") if time_us % UNITS_US[u] == 0)
    return f"{time_us // UNITS_US[unit]}{unit}" if time_us else "0s"


def parse_size(value: object) -> int:
    """Parse ``512MB`` (decimal) or ``1GiB`` (binary) to bytes.

    >>> parse_size("1MB"), parse_size("1MiB")
    (1000000, 1048576)

    Raises
    ------
    ValueError
        When ``value`` is no size of at least one byte.
    """
    match = re.fullmatch(_SIZE, value) if isinstance(value, str) else None
    size = round(float(match[1]) * UNITS_BYTES[match[2]]) if match else 0
    if not 0 < size < 2**60:
        raise ValueError(
            "must be a size with its unit, as in 512MB, 1GB (powers of 1000) or 64MiB, 1GiB (of 1024)"
        )
    return size


def format_size(size: int) -> str:
    """Write bytes in the largest unit that divides them.

    >>> format_size(1_048_576), format_size(64_000_000)
    ('1MiB', '64MB')
    """
    units = sorted(UNITS_BYTES.items(), key=lambda item: -item[1])
    return next(f"{size // factor}{unit}" for unit, factor in units if size % factor == 0)


def absolute(value: object, info: ValidationInfo) -> Path:
    """Make a path absolute, seen from the configuration's folder (``directory`` of the context)."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("must be a path (a text that is not empty)")
    directory = (info.context or {}).get("directory") or Path.cwd()
    return Path(os.path.normpath(directory / value))


def _existing(path: Path) -> Path:
    try:
        found = path.is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise ValueError(f"must be an existing file; there is no file {str(path)[:300]}")
    return path


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _switch(value: object) -> bool:
    if isinstance(value, bool) or value in ("true", "false"):
        return value in (True, "true")
    raise ValueError("must be true or false")


def _label(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float) or value == "":
        raise ValueError("must be a class name (a text, a number, true or false)")
    return str(value)


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", value):
        raise ValueError("must be 1 to 128 letters, digits, '.', '_' or '-'")
    return value


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION}+$", "examples": ["5m", "7d"]}),
]
PositiveDuration = Annotated[Duration, Field(gt=0)]
Size = Annotated[
    int,
    PlainValidator(parse_size),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_SIZE}$", "examples": ["512MB", "1GiB"]}),
]
_path_schema = WithJsonSchema({"type": "string", "format": "path"})
AnyPath = Annotated[Path, PlainValidator(absolute), PlainSerializer(str, when_used="json"), _path_schema]
ExistingFile = Annotated[AnyPath, AfterValidator(_existing)]
# Constraints come before the validator, else they are missing from the JSON Schema.
NotSwitch = BeforeValidator(_number)
Number = Annotated[float, NotSwitch]
Count = Annotated[int, Field(ge=1, le=2**31 - 1), NotSwitch]
Share = Annotated[float, Field(ge=0, le=1), NotSwitch]
Probability = Annotated[float, Field(gt=0, lt=1), NotSwitch]
Switch = Annotated[bool, PlainValidator(_switch), WithJsonSchema({"type": "boolean"})]
Label = Annotated[str, PlainValidator(_label), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Name = Annotated[
    str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"})
]
Text = Annotated[str, Field(min_length=1, max_length=1024)]


_TIME = "([01][0-9]|2[0-3]):([0-5][0-9])"


def _hours(value: Any) -> tuple[int, int]:
    match = re.fullmatch(f"{_TIME}-{_TIME}", value) if isinstance(value, str) else None
    if match is None or match[0][:5] == match[0][6:]:
        raise ValueError("must be two different times of day in UTC, as in 22:00-06:00")
    h1, m1, h2, m2 = (int(part) for part in match.groups())
    return (h1 * 60 + m1) * MINUTE_US, (h2 * 60 + m2) * MINUTE_US


def _shown(hours: tuple[int, int]) -> str:
    return "-".join(f"{us // MINUTE_US // 60:02d}:{us // MINUTE_US % 60:02d}" for us in hours)


# Start and end as microseconds after midnight, in UTC.
Hours = Annotated[
    tuple[int, int],
    PlainValidator(_hours),
    PlainSerializer(_shown, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_TIME}-{_TIME}$", "examples": ["22:00-06:00"]}),
]
