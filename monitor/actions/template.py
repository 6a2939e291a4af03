"""Bodies that people write: Jinja in a sandbox, over a message and its id.

A template is rendered when its message is decided, and what is stored is what is sent. It can reach nothing
but the message: no files, no environment, no clock, no chance. A name that the message lacks is an error.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING

from monitor.actions.payload import LIMIT_BYTES, Message
from monitor.errors import ActionError

if TYPE_CHECKING:
    import jinja2


class Template:
    r"""One template.

    Parameters
    ----------
    source
        Jinja text; sees ``id``, ``type``, ``timestamp`` and ``data``.
    content_type
        With a type of JSON the result must be JSON.

    Examples
    --------
    >>> template = Template('{"ref": {{ data.model | tojson }}}', content_type="application/json")
    >>> template.render("msg_1", {"data": {"model": 'a"b'}})
    b'{"ref": "a\\"b"}'
    """

    def __init__(self, source: str, *, content_type: str) -> None:
        self._source, self._content_type = source, content_type

    @cached_property
    def _template(self) -> jinja2.Template:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        del environment.filters["random"], environment.globals["lipsum"]
        return environment.from_string(self._source)

    def render(self, message_id: str, message: Message) -> bytes:
        """Return the body.

        Raises
        ------
        ActionError
            When the template is none, fails on this message, makes over 20,000 bytes, or no JSON where it
            should.
        """
        body = bytearray()
        try:
            for piece in self._template.generate(id=message_id, **message):
                body += piece.encode()
                if len(body) > LIMIT_BYTES:
                    break
        except Exception as error:  # a template is a program: it may fail in any way
            line = getattr(error, "lineno", None)
            where = f" in line {line}" if line else ""
            raise ActionError(
                f"the template fails{where}: {str(error)[:200] or type(error).__name__}"
            ) from None
        if len(body) > LIMIT_BYTES:
            raise ActionError(f"the template makes more than {LIMIT_BYTES} bytes; it must stay below")
        if "json" in self._content_type:
            try:
                json.loads(body)
            except ValueError as error:
                said = str(error)[:200]
                raise ActionError(
                    f"the template makes no JSON ({said}); write values as {{{{ … | tojson }}}}"
                ) from None
        return bytes(body)
