"""Count, mean, spread and range of numbers, merged without cancellation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from monitor.summaries import FloatArray, pack, unpack
from monitor.summaries.exact import chunks, exact_total, scale_for


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and the sum of squared deviations from it, with the extremes.

    Of no rows the mean is 0 and the range empty (``minimum=inf``, ``maximum=-inf``). ``merge`` is Chan's
    pairwise update, bit-exactly commutative and associative to rounding (relative 1e-9 in the tests).
    Numbers so large that their squares overflow give an infinite ``m2``, which metrics report as no value.

    References
    ----------
    Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, The American Statistician 37.
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf

    @classmethod
    def zero(cls) -> Self:
        """Return the moments of no rows."""
        return cls()

    @classmethod
    def lift(cls, values: FloatArray, *, total: int | None = None) -> Self:
        """Return the moments of a float64 array without NaN; the same to the bit in whatever order it is.

        ``total`` is their :func:`~monitor.summaries.exact.exact_total`, where that is known already.

        >>> Moments.lift(np.array([3.0, 1.0, 2.0]))
        Moments(n=3, mean=2.0, m2=2.0, minimum=1.0, maximum=3.0)
        """
        n = len(values)
        if n == 0:
            return cls()
        low, high = float(values.min()) + 0.0, float(values.max()) + 0.0
        if low == high:
            return cls(n, low, 0.0, low, high)
        if math.isinf(low) or math.isinf(high):
            return cls(n, low + high, math.inf, low, high)
        scale = scale_for(max(-low, high))
        total = exact_total(chunks(values), scale) if total is None else total
        mean = total / (n << 32) / scale
        return cls(n, mean, _squares(values, mean, max(high - mean, mean - low)), low, high)

    @property
    def variance(self) -> float:
        """Population variance (divisor n), as scipy and scikit-learn's scaler use; 0 of no rows."""
        return self.m2 / self.n if self.n else 0.0

    @property
    def sd(self) -> float:
        """Population standard deviation."""
        return math.sqrt(self.variance)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean (divisor n-1); infinite below two rows."""
        return math.sqrt(self.m2 / (self.n - 1) / self.n) if self.n > 1 else math.inf

    def merge(self, other: Self) -> Self:
        """Return the moments of both sets of rows."""
        if not other.n:
            return self
        if not self.n:
            return other
        small, large = sorted((self, other), key=lambda part: (part.n, part.mean, part.m2))
        n = self.n + other.n
        delta = small.mean - large.mean
        mean = large.mean + delta * (small.n / n)
        m2 = self.m2 + other.m2 + delta * delta * (small.n * (large.n / n))
        return type(self)(n, mean, m2, min(self.minimum, other.minimum), max(self.maximum, other.maximum))

    def to_array(self) -> FloatArray:
        """Return the five numbers as float64 (``n`` is exact up to 2**53)."""
        return np.array([self.n, self.mean, self.m2, self.minimum, self.maximum], dtype=np.float64)

    @classmethod
    def from_array(cls, numbers: FloatArray) -> Self:
        """Read what :meth:`to_array` returned."""
        n, mean, m2, minimum, maximum = numbers.tolist()
        return cls(int(n), mean, m2, minimum, maximum)

    def to_bytes(self) -> bytes:
        return pack("moments", {}, moments=self.to_array())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        return cls.from_array(unpack("moments", data)[1]["moments"])


def _squares(values: FloatArray, mean: float, farthest: float) -> float:
    """Return the sum of squared deviations from the mean; infinite where the largest square is."""
    with np.errstate(over="ignore"):
        if math.isinf(largest := float(np.square(farthest))):
            return math.inf
    scale = scale_for(largest)
    return exact_total((np.square(piece - mean) for piece in chunks(values)), scale) / (1 << 32) / scale
