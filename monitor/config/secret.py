"""Secrets: values that can be used but not shown.

A :class:`Secret` shows as ``**********`` in ``repr``, ``str``, JSON, dumps, hashes and schemas. Only
:meth:`Secret.reveal` gives the text. A secret from a file is read at each use, so that a rotated file counts
without a restart.
"""

from __future__ import annotations

import hmac
import re
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from monitor.config.base import absolute, one_or_many, private
from monitor.errors import ConfigError

MASK = "**********"
MAX_SECRET_BYTES = 64 * 1024
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")


class Secret:
    """A text that shows as ``**********``.

    Parameters
    ----------
    text
        The secret itself, or None where ``file`` holds it.
    file
        A file that is read at each :meth:`reveal`; line ends at its end are dropped.
    """

    __slots__ = ("_file", "_text")

    def __init__(self, text: str | None = None, *, file: Path | None = None) -> None:
        self._text, self._file = text, file

    def reveal(self) -> str:
        """Return the secret.

        Raises
        ------
        ConfigError
            When its file cannot be read now, is empty or is over 64 KiB.
        """
        if self._file is None:
            return self._text or ""
        if problem := file_problem(self._file):
            raise ConfigError([f"{self._file}: {problem}"])
        return self._file.read_text(encoding="utf-8").rstrip("\r\n")

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret) or self._file != other._file:
            return False
        return hmac.compare_digest((self._text or "").encode(), (other._text or "").encode())

    def __hash__(self) -> int:
        return hash((Secret, self._file))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled; hand over what it is needed for instead")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _inline, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "writeOnly": True}


def file_problem(path: Path) -> str | None:
    """Say in a clause why a file cannot serve as a secret, or return None when it can."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_SECRET_BYTES + 1)
        content.decode()
    except UnicodeDecodeError:
        return "the secret in it must be UTF-8 text"
    except (OSError, ValueError) as error:
        return f"the secret cannot be read: {getattr(error, 'strerror', None) or 'no such path'}"
    if not content.strip():
        return "the file is empty; it must hold the secret"
    return "the file is over 64 KiB, it cannot be a secret" if len(content) > MAX_SECRET_BYTES else None


def _inline(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise private("must be a text; put it in quotes, or better name a file or ${VARIABLE}")
    if not value:
        raise private("is empty; give a text, a file or ${VARIABLE}")
    return Secret(value)


def _from_file(value: object, info: ValidationInfo) -> Secret:
    path = absolute(value, info)
    if problem := file_problem(path):
        raise private(f"{path}: {problem}")
    return Secret(file=path)


def _from_env(value: object, info: ValidationInfo) -> Secret:
    environ = (info.context or {}).get("environ", {})
    if not isinstance(value, str) or not environ.get(value):
        raise private("must be the name of an environment variable that is set and not empty")
    return Secret(environ[value])


def _bcrypt(value: object) -> Secret:
    secret = _inline(value)
    if not _BCRYPT.fullmatch(secret.reveal()):
        raise private("must be a bcrypt hash as htpasswd -nBC 10 writes it, $2y$10$ and 53 more characters")
    return secret


_masked = PlainSerializer(str, return_type=str)
SecretFile = Annotated[
    Secret, PlainValidator(_from_file), _masked, WithJsonSchema({"type": "string", "format": "path"})
]
SecretEnv = Annotated[Secret, PlainValidator(_from_env), _masked, WithJsonSchema({"type": "string"})]
BcryptHash = Annotated[
    Secret, PlainValidator(_bcrypt), _masked, WithJsonSchema({"type": "string", "writeOnly": True})
]
Secrets = Annotated[tuple[Secret, ...], one_or_many(Secret)]
SecretFiles = Annotated[tuple[SecretFile, ...], one_or_many(SecretFile)]
SecretEnvs = Annotated[tuple[SecretEnv, ...], one_or_many(SecretEnv)]
