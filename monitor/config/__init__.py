"""The configuration: strict models over a safe YAML reader.

``load(path)`` returns a :class:`Config` or raises :class:`~monitor.errors.ConfigError` with every problem.
"""

from monitor.config.actions import Action, AlertmanagerAction, HttpAction, SlackAction, WebhookAction
from monitor.config.alerts import Alert, Retrain, Streak, When
from monitor.config.bounds import Critical, FalseAlarms, Rate, ReferenceSd, RelativeToReference
from monitor.config.checks import (
    Checks,
    Drift,
    Estimate,
    Fairness,
    Performance,
    Quality,
)
from monitor.config.explain import Explain, ExplainModel, ModelFile, RemoteModel
from monitor.config.load import json_schema, load
from monitor.config.models import Columns, Model, Reference, ReferenceData, Stream, WindowConfig
from monitor.config.root import BasicAuth, Config, Log, Scheduler, Server, Store, Tls
from monitor.config.secret import Secret
from monitor.config.silences import DAYS, Silence
from monitor.config.sources import FilesSource, KafkaSource, MemorySource, OAuth, Security

__all__ = [
    "Action",
    "Alert",
    "AlertmanagerAction",
    "BasicAuth",
    "Checks",
    "DAYS",
    "Columns",
    "Config",
    "Critical",
    "Drift",
    "Estimate",
    "Explain",
    "ExplainModel",
    "Fairness",
    "FalseAlarms",
    "FilesSource",
    "HttpAction",
    "KafkaSource",
    "Log",
    "MemorySource",
    "Model",
    "ModelFile",
    "OAuth",
    "Performance",
    "Quality",
    "Rate",
    "Reference",
    "ReferenceData",
    "ReferenceSd",
    "RelativeToReference",
    "RemoteModel",
    "Retrain",
    "Scheduler",
    "Secret",
    "Security",
    "Server",
    "Silence",
    "SlackAction",
    "Store",
    "Stream",
    "Streak",
    "Tls",
    "WebhookAction",
    "When",
    "WindowConfig",
    "json_schema",
    "load",
]
