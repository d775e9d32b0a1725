r"""Bias and variance of the labeller recursion as opaque scalars: chains of any length, and pipelines of many fits.

A chain is a list of blocks, each a number of equal fits on fresh samples; the tested fit is the last. Its bias and
variance are :math:`w_0^\top(\Sigma-2u_0+M_0)w_0` and :math:`\sum_l\sigma_l^2\,a'_l` with
:math:`M_0=\mathcal G_1^{n_1}\cdots\mathcal G_L^{n_L}[\Sigma]`. With integer counts :meth:`doit` unfolds them. All are
evaluated by the recursion on the eigenvalues, whose cost does not grow with the size of the unfolded expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, ClassVar

from sympy import Expr, S, Symbol, Tuple
from sympy.printing.precedence import PRECEDENCE

from collapse_theory.algebra.opaque import Opaque, called
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.labeller import LabelledRows, PooledStage, chain_risk, pooled_risk, pooled_stages, system_of
from collapse_theory.derive.operator import Generation
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.derive.slopes import slope
from collapse_theory.symbols import ordered

__all__ = [
    "BlockScalar",
    "ChainBias",
    "ChainScalar",
    "ChainVariance",
    "LabellerScalar",
    "PooledBias",
    "PooledScalar",
    "PooledVariance",
    "block",
    "blocks",
    "chain_scalars",
    "pooled_scalars",
]


class LabellerScalar(Opaque):
    """Base: a scalar of the last fit of the stages in the arguments."""

    is_nonnegative = True
    part: ClassVar[int]
    """0 for the bias, 1 for the variance."""

    @property
    def both(self) -> tuple[Expr, Expr]:
        """The bias and the variance of these stages."""
        raise NotImplementedError

    def _derivative(self, x: Symbol) -> Expr:
        return slope(self, x)


class BlockScalar(LabellerScalar):
    """Base: a scalar of a chain of blocks ``(T, lam, sigma, count)`` or, on features, ``(T, lam, sigma, count, m)``.

    The tested fit is the last; a filter may stand for the ridge.
    """

    precedence = PRECEDENCE["Add"]  # a sum when printed

    @property
    def runs(self) -> tuple[tuple[Generation, Expr], ...]:
        """A fit of each block, and how many of them it is."""
        return tuple((Generation(T, lam, sigma, *m), count) for T, lam, sigma, count, *m in self.args)

    @property
    def counts(self) -> tuple[Expr, ...]:
        """The number of fits of each block."""
        return tuple(block[3] for block in self.args)

    @property
    def on_features(self) -> bool:
        """Whether a fit sees random features."""
        return any(fit.m is not None for fit, _ in self.runs)

    @property
    def ridges(self) -> tuple[Expr, ...]:
        """The effective ridge of each block."""
        return tuple(fit.kappa for fit, _ in self.runs)

    @property
    def fits(self) -> list[Generation]:
        """The fits one by one.

        Raises:
            DomainError: If a count is not a non-negative integer.
        """
        fits = []
        for fit, count in self.runs:
            if not (count.is_Integer and count >= 0):
                raise DomainError(f"unfolding a chain needs integer counts >= 0, got {count}; substitute a number")
            fits += [fit] * int(count)
        return fits

    def _derivative(self, x: Symbol) -> Expr:
        if any(count.has(x) for count in self.counts):
            raise DomainError(f"a derivative needs a real parameter, got {x} in a number of fits; compare two values")
        return super()._derivative(x)

    def index(self, i: int) -> str:
        """Return the subscript of the i-th block's operator (from 1): none for the tested fit, 0 for a lone generator."""
        if i == len(self.args):
            return ""
        return "_{0}" if len(self.args) == 2 else f"_{{{i}}}"

    def _powers(self, head: str, start: int, printer: Any) -> str:
        """Return the product of the operators of the blocks from ``start`` on."""
        out = []
        for i, count in enumerate(self.counts[start - 1 :], start=start):
            out.append(head + self.index(i) + ("" if count == 1 else f"^{{{printer.doprint(count)}}}"))
        return " ".join(out)

    def _bias(self, printer: Any) -> str:
        """Return the LaTeX of the bias."""
        mean, operator = self._powers("A", 1, printer), self._powers(r"\mathcal{G}", 1, printer)
        return rf"w_0^\top\left(\Sigma - 2 \Sigma {mean} + {operator}[\Sigma]\right) w_0"

    def _variance(self, printer: Any) -> str:
        """Return the LaTeX of the variance."""
        terms = []
        for i, (_, _, sigma, count, *_m) in enumerate(self.args, start=1):
            later = self._powers(r"\mathcal{G}", i + 1, printer)
            noise = printer.doprint(sigma**2)
            noise = rf"\left({noise}\right) " if (sigma**2).is_Add else f"{noise} "
            if count != 1:
                noise += rf"\sum_{{k=0}}^{{{printer.doprint(count - 1)}}} "
                later = rf"\mathcal{{G}}{self.index(i)}^{{k}} {later}".rstrip()
            image = rf"{later}[\Sigma]" if later else r"\Sigma"
            if sigma != 0:
                terms.append(rf"{noise}a'{self.index(i)}\left[{image}\right]")
        return " + ".join(reversed(terms)) or "0"


class ChainScalar(BlockScalar):
    """Base: a scalar of a chain to leading order."""

    @property
    def both(self) -> tuple[Expr, Expr]:
        """The bias and the variance of the chain."""
        return ChainBias(*self.args), ChainVariance(*self.args)

    def doit(self, **_hints: Any) -> Expr:
        """Return the explicit expression.

        Raises:
            DomainError: If a count is not a non-negative integer.
        """
        return chain_risk(self.fits)[self.part]


class ChainBias(ChainScalar):
    r"""The bias :math:`w_0^\top(\Sigma-2u_0+M_0)w_0` of the last fit of a chain.

    Args:
        stages: Blocks in order; noise does not enter.

    >>> from collapse_theory.symbols import T, lam, sigma
    >>> ChainBias((T, lam, sigma, 1)).doit() == chain_risk([Generation(T, lam, sigma)])[0]
    True
    """

    part = 0

    def _tex(self, printer: Any) -> tuple[str, str]:
        return self._bias(printer), ""


class ChainVariance(ChainScalar):
    r"""The variance :math:`\sum_l\sigma_l^2a'_l` of the last fit of a chain.

    Args:
        stages: Blocks in order.

    >>> from collapse_theory.symbols import T, lam, sigma
    >>> ChainVariance((T, lam, sigma, 1)).doit() == chain_risk([Generation(T, lam, sigma)])[1]
    True
    """

    part = 1

    def _tex(self, printer: Any) -> tuple[str, str]:
        return self._variance(printer), ""


class PooledScalar(LabellerScalar):
    """Base: a scalar of stages ``(T, lam, noise, labels)`` with labels ``(share, truth, missing, ((place, coefficient), ...))``."""

    name: ClassVar[str]

    @classmethod
    def of(cls, stages: Sequence[PooledStage]) -> Expr:
        """Return the scalar of these stages."""
        return cls(*(
            Tuple(x.T, x.lam, x.noise, Tuple(*(Tuple(y.share, y.truth, y.missing, Tuple(*y.fits.items())) for y in x.labels)))
            for x in stages
        ))  # fmt: skip

    @property
    def stages(self) -> tuple[PooledStage, ...]:
        """The fits."""
        return tuple(
            PooledStage(
                T,
                lam,
                noise,
                tuple(LabelledRows(p, a, b, {int(place): c for place, c in fits}) for p, a, b, fits in labels),
            )
            for T, lam, noise, labels in self.args
        )

    @property
    def system(self) -> PooledSystem:
        """The stages as a system of fits on inputs of their own."""
        return system_of(self.stages)

    @property
    def both(self) -> tuple[Expr, Expr]:
        """The bias and the variance of the stages."""
        return PooledBias(*self.args), PooledVariance(*self.args)

    def doit(self, **_hints: Any) -> Expr:
        """Return the explicit expression."""
        return pooled_risk(self.stages)[self.part]

    def _sympystr(self, printer: Any) -> str:
        del printer
        return f"{type(self).__name__}({len(self.args)} fits)"

    def _tex(self, printer: Any) -> tuple[str, str]:
        head, symbols = rf"\mathrm{{{self.name}}}_{{{len(self.args)}}}", ordered(self.free_symbols)
        return called(head, symbols, printer) if symbols else (head, "")


class PooledBias(PooledScalar):
    r"""The bias :math:`\|\ell_Kw_0\|_\Sigma^2` and what the target adds to the fluctuations, unexpanded."""

    part, name = 0, "bias"


class PooledVariance(PooledScalar):
    """What the label noises add to the fluctuations, unexpanded."""

    part, name = 1, "variance"


def block(fit: Generation, count: Expr) -> tuple[Expr, ...]:
    """Return a number of equal fits as a block of a chain."""
    return (fit.T, fit.lam, fit.sigma, count, *(() if fit.m is None else (fit.m,)))


def blocks(stages: Sequence[Generation]) -> tuple[tuple[Expr, ...], ...]:
    """Return the chain with equal neighbours collapsed to blocks."""
    return tuple(block(fit, S(len(list(equal)))) for fit, equal in groupby(stages))


_EXPLICIT = 3  # fits beyond which the unfolded formula is no longer something to read
_EXPLICIT_ON_FEATURES = 2


def chain_scalars(stages: Sequence[Generation]) -> tuple[Expr, Expr]:
    """Return bias and variance of a chain: unfolded if it is short, as opaque scalars otherwise."""
    most = _EXPLICIT if all(fit.m is None for fit in stages) else _EXPLICIT_ON_FEATURES
    return chain_risk(stages) if len(stages) <= most else ChainBias(*blocks(stages)).both


def pooled_scalars(system: PooledSystem) -> tuple[Expr, Expr]:
    """Return bias and variance of the tested fit: unfolded if the fits are few, as opaque scalars otherwise."""
    stages = pooled_stages(system)
    return pooled_risk(stages) if len(stages) <= _EXPLICIT else PooledBias.of(stages).both
