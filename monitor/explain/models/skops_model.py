"""scikit-learn estimators in skops files, which are no pickles: only known types are built."""

from __future__ import annotations

import pyarrow as pa

from monitor.errors import ExplainError
from monitor.explain.models import Model, sklearn_model
from monitor.explain.settings import Settings

NEEDS = ("skops.io", *sklearn_model.NEEDS)
WELCOME = sklearn_model.WELCOME


def load(data: bytes, settings: Settings, _: pa.Table) -> Model:
    """Build the estimator.

    Raises
    ------
    ExplainError
        When the file holds types that are neither known to be safe nor listed in ``trusted``.
    """
    import skops.io

    found = skops.io.get_untrusted_types(data=data)
    if unknown := sorted(set(found) - set(settings.trusted)):
        raise ExplainError(
            f"the file holds types that are not known to be safe: {', '.join(unknown)}; list them in "
            "'trusted' "
            "if they are meant"
        )
    return sklearn_model.adapt(skops.io.loads(data, trusted=found), settings)
