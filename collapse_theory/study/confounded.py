r"""Unknowns that a curve cannot tell apart: the null space of its derivatives.

If the predicted errors do not change along a direction :math:`v_i=d\log x_i` at several points, and the direction is the same at
all of them, then they depend on the monomials :math:`\prod x_i^{a_i}` with :math:`a\perp v` alone. So ``n`` and ``sigma0`` enter
``ridge-replace`` as :math:`n\sigma_0^2` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

__all__ = ["Confounded", "confounded"]

_SINGULAR = 1e-7  # of a singular value, columns of unit length: between round-off and what data could resolve
_SAME = 1e-5
_LARGEST = 12  # of a denominator of an exponent


@dataclass(frozen=True)
class Confounded:
    """Unknowns that cannot be told apart.

    Attributes:
        names: Of the unknowns, at least one; a single one has no influence.
        exponents: Of the monomial that two of them form; empty if they are more, or form none.
    """

    names: tuple[str, ...]
    exponents: tuple[Fraction, ...] = ()

    @property
    def combination(self) -> str:
        """The monomial as text.

        >>> Confounded(("n", "sigma0"), (Fraction(1), Fraction(2))).combination
        'n*sigma0**2'
        """
        powers = zip(self.names, self.exponents, strict=True)
        return "*".join(x if a == 1 else f"{x}**{a}" if a.denominator == 1 > -a else f"{x}**({a})" for x, a in powers)


def confounded(names: Sequence[str], jacobians: Sequence[np.ndarray]) -> Confounded | None:
    """Return unknowns that no data on these points tell apart, or None.

    Args:
        names: Of the unknowns.
        jacobians: Derivatives of the curve by the logarithms of the unknowns at several points, each of shape
            (points, unknowns).

    >>> x = np.linspace(1, 2, 5)
    >>> found = confounded(["a", "b", "c"], [np.stack([x, 2 * x, x**2], axis=1)] * 2)
    >>> found.names, found.combination
    (('a', 'b'), 'a*b**2')
    """
    found = [_null_direction(j) for j in jacobians]
    directions = [v for v in found if v is not None]
    if len(directions) < len(found):
        return None
    involved = np.any([np.abs(unit) > _SAME for unit, _ in directions], axis=0)
    chosen = tuple(name for name, used in zip(names, involved, strict=True) if used)
    if len(chosen) != 2:
        return Confounded(chosen)
    first, second = np.stack([v[involved] for _, v in directions], axis=1)
    ratios = -first / second
    exponent = Fraction(float(ratios[0])).limit_denominator(_LARGEST)
    if exponent == 0 or np.abs(ratios - float(exponent)).max() > _SAME * abs(exponent):
        return Confounded(chosen)
    scale = max(Fraction(1), 1 / abs(exponent))
    return Confounded(chosen, (scale, scale * exponent))


def _null_direction(jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what leaves the curve as it is: weights of the columns of unit length, and changes of the logarithms."""
    length = np.linalg.norm(jacobian, axis=0)
    if (length == 0).any():
        alone = np.asarray(length == 0, dtype=float)
        return alone, alone
    _, singular, rows = np.linalg.svd(jacobian / length, full_matrices=True)
    if singular.size == length.size and singular[-1] > _SINGULAR:
        return None
    return rows[-1], rows[-1] / length
