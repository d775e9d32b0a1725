"""What certified evaluation returns: an interval between two numbers of mpmath."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import mpmath
from mpmath.libmp import mpf_add, mpf_shift, mpf_sub

__all__ = ["Enclosure"]


@dataclass(frozen=True)
class Enclosure:
    """An interval that contains an exact value.

    Attributes:
        lower: The lower end, an mpmath number.
        upper: The upper end.

    >>> box = Enclosure(mpmath.mpf("0.25"), mpmath.mpf("0.75"))
    >>> box.mid, box.radius, 0.3 in box, str(box)
    (mpf('0.5'), mpf('0.25'), True, '[0.25, 0.75]')
    """

    lower: Any
    upper: Any

    @property
    def mid(self) -> Any:
        """The middle, exactly."""
        return mpmath.mp.make_mpf(mpf_shift(mpf_add(self.lower._mpf_, self.upper._mpf_), -1))

    @property
    def radius(self) -> Any:
        """Half the width, exactly."""
        return mpmath.mp.make_mpf(mpf_shift(mpf_sub(self.upper._mpf_, self.lower._mpf_), -1))

    def __contains__(self, x: Any) -> bool:
        return bool(self.lower <= x <= self.upper)

    def __float__(self) -> float:
        return float(self.mid)

    def printed(self, digits: int = 30) -> tuple[str, str]:
        """Return the ends as decimals of so many digits, rounded outward.

        >>> Enclosure(mpmath.mpf("0.125"), mpmath.mpf("0.75")).printed(2)
        ('0.12', '0.75')
        """
        return _decimal(self.lower, digits, ROUND_FLOOR), _decimal(self.upper, digits, ROUND_CEILING)

    def __str__(self) -> str:
        return "[{}, {}]".format(*self.printed())


def _decimal(x: Any, digits: int, rounding: str) -> str:
    sign, mantissa, exponent, _ = x._mpf_
    numerator = (-int(mantissa) if sign else int(mantissa)) << max(exponent, 0)
    return str(Context(prec=digits, rounding=rounding).divide(Decimal(numerator), Decimal(1 << max(-exponent, 0))))
