r"""Chains of any length as opaque scalars: powers of the generation operator with a symbolic exponent.

A chain is a list of blocks, each a number of equal fits on fresh samples; the tested fit is the last. Its bias and
variance are :math:`w_0^\top(\Sigma-2u_0+M_0)w_0` and :math:`\sum_l\sigma_l^2\,a'_l` with
:math:`M_0=\mathcal G_1^{n_1}\cdots\mathcal G_L^{n_L}[\Sigma]`. With integer counts :meth:`doit` unfolds them; otherwise they are
evaluated by recursion on the eigenvalues, whose cost does not grow with the size of the unfolded expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sympy import Expr, S, Tuple
from sympy.printing.precedence import PRECEDENCE

from collapse_theory.algebra.effective import EffectiveRidge
from collapse_theory.algebra.naming import Hiding
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.operator import Generation, chain_risk
from collapse_theory.derive.slopes import slope

__all__ = ["ChainBias", "ChainScalar", "ChainVariance", "blocks", "chain_scalars"]


class ChainScalar(Hiding, Expr):
    """Base: a scalar of a chain of blocks ``(T, lam, sigma, count)``, the tested fit last."""

    is_commutative = True
    is_extended_real = True
    is_nonnegative = True
    precedence = PRECEDENCE["Add"]  # a sum when printed: a power needs parentheses
    _part: int

    def __new__(cls, *stages: Any) -> Expr:
        """Return the scalar of the chain of these blocks."""
        return Expr.__new__(cls, *(Tuple(*stage) for stage in stages))

    @property
    def stages(self) -> tuple[tuple[Expr, Expr, Expr, Expr], ...]:
        """The blocks."""
        return tuple(tuple(stage) for stage in self.args)

    @property
    def ridges(self) -> tuple[Expr, ...]:
        """The effective ridge of each block."""
        return tuple(EffectiveRidge(T, lam) for T, lam, *_ in self.stages)

    def doit(self, **hints: Any) -> Expr:  # noqa: ARG002 - SymPy's signature
        """Return the explicit expression.

        Raises:
            DomainError: If a count is not a non-negative integer.
        """
        fits = []
        for T, lam, sigma, count in self.stages:
            if not (count.is_Integer and count >= 0):
                raise DomainError(f"unfolding a chain needs integer counts >= 0, got {count}; substitute a number")
            fits += [Generation(T, lam, sigma)] * int(count)
        return chain_risk(fits)[self._part]

    def _eval_derivative(self, x: Any) -> Expr:
        if any(count.has(x) for *_, count in self.stages):
            raise DomainError(f"a derivative needs a real parameter, got {x} in a number of fits; compare two values")
        return slope(self, x)

    def index(self, i: int) -> str:
        """Return the subscript of the i-th block's operator (from 1): none for the tested fit, 0 for a lone generator."""
        if i == len(self.args):
            return ""
        return "_{0}" if len(self.args) == 2 else f"_{{{i}}}"

    def _powers(self, head: str, start: int, printer: Any) -> str:
        """Return the product of the operators of the blocks from ``start`` on."""
        out = []
        for i, (_, _, _, count) in enumerate(self.stages[start - 1 :], start=start):
            out.append(head + self.index(i) + ("" if count == 1 else f"^{{{printer.doprint(count)}}}"))
        return " ".join(out)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = self._body(printer)
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"

    def _body(self, printer: Any) -> str:
        raise NotImplementedError


class ChainBias(ChainScalar):
    r"""The bias :math:`w_0^\top(\Sigma-2u_0+M_0)w_0` of the last fit of a chain.

    Args:
        stages: Blocks ``(T, lam, sigma, count)`` in order; noise does not enter.

    >>> from collapse_theory.symbols import T, lam, sigma
    >>> ChainBias((T, lam, sigma, 1)).doit() == chain_risk([Generation(T, lam, sigma)])[0]
    True
    """

    _part = 0

    def _body(self, printer: Any) -> str:
        mean, operator = self._powers("A", 1, printer), self._powers(r"\mathcal{G}", 1, printer)
        return rf"w_0^\top\left(\Sigma - 2 \Sigma {mean} + {operator}[\Sigma]\right) w_0"


class ChainVariance(ChainScalar):
    r"""The variance :math:`\sum_l\sigma_l^2a'_l` of the last fit of a chain.

    Args:
        stages: Blocks ``(T, lam, sigma, count)`` in order.

    >>> from collapse_theory.symbols import T, lam, sigma
    >>> ChainVariance((T, lam, sigma, 1)).doit() == chain_risk([Generation(T, lam, sigma)])[1]
    True
    """

    _part = 1

    def _body(self, printer: Any) -> str:
        terms = []
        for i, (_, _, sigma, count) in enumerate(self.stages, start=1):
            later = self._powers(r"\mathcal{G}", i + 1, printer)
            noise = "" if sigma == 0 else rf"{printer.parenthesize(sigma, 60)}^{{2}} "
            if count != 1:
                noise += rf"\sum_{{k=0}}^{{{printer.doprint(count - 1)}}} "
                later = rf"\mathcal{{G}}{self.index(i)}^{{k}} {later}".rstrip()
            image = rf"{later}[\Sigma]" if later else r"\Sigma"
            if sigma != 0:
                terms.append(rf"{noise}a'{self.index(i)}\left[{image}\right]")
        return " + ".join(reversed(terms)) or "0"


def blocks(stages: Sequence[Generation]) -> tuple[tuple[Expr, Expr, Expr, Expr], ...]:
    """Return the chain with equal neighbours collapsed to blocks ``(T, lam, sigma, count)``."""
    return tuple((g.T, g.lam, g.sigma, S(len(list(equal)))) for g, equal in groupby(stages))


_EXPLICIT = 3  # fits beyond which the unfolded formula is no longer something to read


def chain_scalars(stages: Sequence[Generation]) -> tuple[Expr, Expr]:
    """Return bias and variance of a chain: unfolded if it is short, as opaque scalars otherwise."""
    if len(stages) <= _EXPLICIT:
        return chain_risk(stages)
    chain = blocks(stages)
    return ChainBias(*chain), ChainVariance(*chain)
