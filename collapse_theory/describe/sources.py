"""Who labels rows: the truth, earlier fits, their linear combinations, or one of them drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sympy import Expr, S

from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.core.numbers import Scalar, real, show

if TYPE_CHECKING:
    from collapse_theory.describe.nodes import Fit

__all__ = ["TRUTH", "Labeller", "OneOf", "Source", "Truth", "one_of"]


class Labeller:
    """What can label inputs: the truth or a fit. Labellers add and scale to a :class:`Source`."""

    def __add__(self, other: Any) -> Source:
        return Source.of(self) + other

    __radd__ = __add__

    def __sub__(self, other: Any) -> Source:
        return Source.of(self) - other

    def __rsub__(self, other: Any) -> Source:
        return (-1) * Source.of(self) + other

    def __mul__(self, factor: Scalar) -> Source:
        return Source.of(self) * factor

    __rmul__ = __mul__

    def __truediv__(self, divisor: Scalar) -> Source:
        return Source.of(self) / divisor

    def __neg__(self) -> Source:
        return Source.of(self) * -1


@dataclass(frozen=True)
class Truth(Labeller):
    """The true coefficients ``w0``."""

    def __repr__(self) -> str:
        return "TRUTH"


TRUTH = Truth()
"""The true labeller, ``w0``."""


@dataclass(frozen=True)
class Source:
    """A linear combination of labellers, ``sum_m c_m w_m``.

    Attributes:
        coefficients: Pairs (labeller, coefficient) in order of appearance, each labeller once, no zero coefficient.

    >>> 0.5 * TRUTH + 0.25 * TRUTH
    0.75*TRUTH
    """

    coefficients: tuple[tuple[Truth | Fit, Expr], ...]

    @staticmethod
    def of(value: Any) -> Source:
        """Return ``value`` as a source.

        Raises:
            PipelineError: If it is neither a labeller nor a combination of labellers.
        """
        if isinstance(value, Source):
            return value
        if isinstance(value, Labeller):
            return Source(((cast("Truth | Fit", value), S.One),))
        raise PipelineError(
            f"source needs to be TRUTH, a fit, or a linear combination of them, got {shown(value)}; "
            "write for example 0.6*ct.TRUTH + 0.4*m1"
        )

    def __add__(self, other: Any) -> Source:
        total: dict[Truth | Fit, Expr] = dict(self.coefficients)
        for labeller, c in Source.of(other).coefficients:
            total[labeller] = total.get(labeller, S.Zero) + c
        return Source(tuple((labeller, c) for labeller, c in total.items() if c != 0))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Source:
        return self + Source.of(other) * -1

    def __rsub__(self, other: Any) -> Source:
        return self * -1 + other

    def __mul__(self, factor: Scalar) -> Source:
        c = real(factor, "source coefficient", error=PipelineError)
        return Source(tuple((labeller, a * c) for labeller, a in self.coefficients if a * c != 0))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Scalar) -> Source:
        c = real(divisor, "source divisor", error=PipelineError)
        if c.is_zero:
            raise PipelineError("source divisor needs to be non-zero, got 0; scale by a non-zero number")
        return self * (1 / c)

    def __neg__(self) -> Source:
        return self * -1

    def __iter__(self) -> Iterator[tuple[Truth | Fit, Expr]]:
        return iter(self.coefficients)

    def __repr__(self) -> str:
        def term(m: Truth | Fit, c: Expr) -> str:
            factor = f"({show(c)})" if c.is_Add else show(c)
            return _label(m) if c == 1 else f"{factor}*{_label(m)}"

        return " + ".join(term(m, c) for m, c in self.coefficients) or "0"


@dataclass(frozen=True)
class OneOf:
    """Each row is labelled by one labeller, drawn uniformly at random (for the scalar families).

    Attributes:
        labellers: The labellers to draw from, in order; repeats count.
    """

    labellers: tuple[Truth | Fit, ...]

    def __repr__(self) -> str:
        return f"one_of({', '.join(map(_label, self.labellers))})"


def one_of(*labellers: Truth | Fit) -> OneOf:
    """Return the source that labels each row by a labeller drawn uniformly from ``labellers``.

    Raises:
        PipelineError: If there is none, or one of them is not the truth or a fit.

    >>> one_of(TRUTH, TRUTH)
    one_of(TRUTH, TRUTH)
    """
    if not labellers:
        raise PipelineError("one_of needs at least one labeller, got none; pass ct.TRUTH or fits")
    for labeller in labellers:
        if not isinstance(labeller, Labeller):
            raise PipelineError(f"one_of needs TRUTH or fits, got {shown(labeller)}; mixtures go into separate samples")
    return OneOf(tuple(labellers))


def _label(labeller: Truth | Fit) -> str:
    return "TRUTH" if isinstance(labeller, Truth) else labeller.name
