"""The exceptions of Model Monitor.

MonitorError
├── ConfigError        the configuration is wrong; carries every problem found
├── StoreError         the event store cannot be used (damaged, locked, newer, read-only, full)
├── SourceError        a source cannot be opened or read
├── ReferenceDataError the reference data cannot be read or lacks a column
├── DecodeError        a decoder is misconfigured (bad *records* are data, never exceptions)
├── ActionError        an action is misconfigured
├── ExplainError       a model cannot be loaded or its scores cannot be explained
├── NotThereError      what was asked for does not exist
└── Stopped            what was under way was told to stop; nothing of it counts

Each message is one sentence that names the place and what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence


class MonitorError(Exception):
    """Base of every error that Model Monitor raises on purpose."""


class ConfigError(MonitorError):
    """The configuration is wrong.

    Parameters
    ----------
    problems
        One complete sentence for each problem: ``file:line path: what is wrong; what is allowed``.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class StoreError(MonitorError):
    """The event store cannot be used."""


class SourceError(MonitorError):
    """A source cannot be opened or read."""


class ReferenceDataError(MonitorError):
    """The reference data cannot be read or lacks what the configuration names."""


class DecodeError(MonitorError):
    """A decoder cannot be built from the configuration."""


class ActionError(MonitorError):
    """An action cannot be carried out as configured."""


class ExplainError(MonitorError):
    """A model cannot be loaded, or its scores cannot be explained, within its limits."""


class NotThereError(MonitorError):
    """What was asked for does not exist: a model, an event, attributions of it."""


class Stopped(MonitorError):
    """What was under way was told to stop; nothing of it counts, and it is done again later."""
