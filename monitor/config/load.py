"""Reading a configuration file: everything that is wrong with it at once, or a :class:`Config`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from monitor.config.base import Section
from monitor.config.crosscheck import cross_check
from monitor.config.document import MAX_BYTES, Node, Part, Problem, read
from monitor.config.problems import describe, follows, locate, sections
from monitor.config.root import Config
from monitor.config.web_file import WebFile
from monitor.errors import ConfigError

S = TypeVar("S", bound=Section)

MAX_PASSES = 12
MAX_PROBLEMS = 100


def load(path: Path, *, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration.

    Parameters
    ----------
    path
        The YAML file; relative paths in it start from its folder.
    environ
        What ``${NAME}`` and ``secret_env`` read; by default the process environment.

    Raises
    ------
    ConfigError
        With one sentence for each problem, in the order of the lines: ``file:line path: what is wrong; what
        is allowed``. Problems between sections are looked for in what is valid by itself, so a file with
        faults of both sorts shows both, but parts inside a wrong section may show theirs only afterwards.
    """
    variables = os.environ if environ is None else environ
    config, problems = _load(path, variables, Config)
    if config is not None and not problems and config.server.web_config_file is not None:
        file, problems = _load(config.server.web_config_file, variables, WebFile)
        if file is not None:
            config = config.model_copy(update={"server": config.server.with_file(file)})
    if config is None or problems:  # raised here, where no local variable holds a secret
        raise ConfigError(problems)
    return config


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration, for editors."""
    schema = Config.model_json_schema(by_alias=True, mode="validation")
    for name, section in sections().items():
        place = schema if section is Config else schema["$defs"].get(name, {})  # none: of another file
        properties = place.get("properties", {})
        defaults = section.model_construct(size=0).model_dump(mode="json", by_alias=True, warnings=False)
        for key, value in defaults.items():
            if "default" in properties.get(key, {}):
                properties[key]["default"] = value  # as it is written: 5m, not microseconds
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Model Monitor"}


def _load(path: Path, environ: Mapping[str, str], whole: type[S]) -> tuple[S | None, list[str]]:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return None, [f"{path}:{line}: is not UTF-8 text; a configuration must be"]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        return None, [f"{path}: cannot be read: {reason}; give an existing YAML file"]
    if len(content) > MAX_BYTES:
        return None, [f"{path}: is over 1 MiB; that is the limit of a configuration"]
    root, problems = read(text, environ)
    config = None
    if root is not None:
        config = _check(root, {"directory": path.absolute().parent, "environ": environ}, problems, whole)
    ordered = sorted(dict.fromkeys(problems), key=lambda p: p.line)
    lines = [f"{path}:{p.line}{' ' if p.path else ''}{p.path}: {p.text}" for p in ordered]
    rest = [f"{path}: and {len(lines) - MAX_PROBLEMS} more problems"] if len(lines) > MAX_PROBLEMS else []
    return config, lines[:MAX_PROBLEMS] + rest


def _check(root: Node, context: dict[str, Any], problems: list[Problem], whole: type[S]) -> S | None:
    """Validate the tree, adding to ``problems``; what is wrong is left out so that the rest can be judged."""
    tree: Node | None = root
    for _ in range(MAX_PASSES):
        if tree is None:
            return None
        try:
            config = whole.model_validate(tree.plain(), context=context)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            found = [describe(one, tree, whole) for one in errors if not follows(one, tree)]
            _add(problems, [problem for problem, _ in found])
            tree = tree.without({node for _, node in found})
        else:
            if isinstance(config, Config):
                _add(problems, _between(config, tree, root))
            return config
    return None


def _add(problems: list[Problem], found: list[Problem]) -> None:
    """Add what does not merely follow from an earlier problem at or inside the same place."""
    meant = {f"{p.path.rpartition('.')[0]}.{p.meant}".lstrip(".") for p in found if p.meant}
    known = meant.union(*(old.around() for old in problems))
    problems += [problem for problem in found if problem.path not in known]


def _between(config: Config, tree: Node, root: Node) -> list[Problem]:
    """Return the problems between sections."""
    original = {node.path: node for node in root.walk()}

    def declared(loc: tuple[Part, ...]) -> list[str]:
        node = original.get(locate(tree, loc)[1])
        return node.names() if node else []

    places = ((locate(tree, loc), text) for loc, text in cross_check(config, declared))
    return [Problem(line, path, text) for (_, path, line), text in places]
