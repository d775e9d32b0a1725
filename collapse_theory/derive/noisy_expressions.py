r"""Functions of the eigenvalues and of what activations leave over, written out.

The noise of features is a tail of infinitely many infinitesimal directions (:mod:`collapse_theory.numerics.feature_noise`). Of a
function there only :math:`f(0)` and :math:`f'(0)` matter, and

.. math:: \operatorname{tr}f=\operatorname{tr}f(\Sigma)+\tau f'(0)\operatorname{tr}\Sigma ,

where :math:`f(0)=0` in every trace that occurs. The scalars of a tail are named like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sympy import Add, Eq, Expr, Min, S

from collapse_theory import symbols
from collapse_theory.algebra.integrals import SpectralTrace, df
from collapse_theory.derive.cavity import OwnFit
from collapse_theory.derive.expressions import Expressions
from collapse_theory.derive.pooled import PooledFit, PooledSystem
from collapse_theory.describe.truths import Pair as Truths
from collapse_theory.symbols import eigenvalue

__all__ = ["NoisyExpressions", "NoisyFunction"]

Jet = tuple[Expr, Expr]
"""Value and slope at zero."""


@dataclass(frozen=True)
class NoisyFunction:
    """A function of the eigenvalues: of those of the inputs, and of each tail its value and slope at zero.

    Attributes:
        inputs: The function on the directions of the inputs.
        tails: Value and slope by the noise that the tail stands for.
    """

    inputs: Any
    tails: Mapping[Expr, Jet]

    def __add__(self, other: Any) -> NoisyFunction:
        if not isinstance(other, NoisyFunction):
            return NoisyFunction(self.inputs + other, {x: (f[0] + other, f[1]) for x, f in self.tails.items()})
        return self._with(other, lambda f, g: (f[0] + g[0], f[1] + g[1]), self.inputs + other.inputs)

    def __mul__(self, other: Any) -> NoisyFunction:
        if isinstance(other, NoisyFunction):
            return self._with(other, lambda f, g: (f[0] * g[0], f[0] * g[1] + f[1] * g[0]), self.inputs * other.inputs)
        return NoisyFunction(self.inputs * other, {x: (f[0] * other, f[1] * other) for x, f in self.tails.items()})

    __radd__ = __add__
    __rmul__ = __mul__

    def _with(self, other: NoisyFunction, combine: Callable[[Jet, Jet], Jet], inputs: Any) -> NoisyFunction:
        return NoisyFunction(inputs, {x: combine(f, other.tails[x]) for x, f in self.tails.items()})


class NoisyExpressions(Expressions):
    """Expressions in the parameters, the effective ridges and the eigenvalues, on the inputs and on the tails."""

    def __init__(self, system: PooledSystem) -> None:
        super().__init__(system)
        self.noises = system.feature_noises

    def eigenvalue(self, covariance: str) -> NoisyFunction:
        """Return the bound eigenvalue."""
        return NoisyFunction(super().eigenvalue(covariance), dict.fromkeys(self.noises, (S.Zero, S.One)))

    def trace(self, f: NoisyFunction) -> Expr:
        """Return the opaque traces of the monomials in the matrices, and the slopes of the tails."""
        return super().trace(f.inputs) + Add(*(x * f.tails[x][1] for x in self.noises)) * SpectralTrace(eigenvalue)

    def form(self, f: Any, truths: Truths) -> Expr:
        """Return the opaque forms of the monomials in the matrices: a target has no coefficients along the tails."""
        return super().form(f.inputs if isinstance(f, NoisyFunction) else f, truths)

    def own(self, k: int) -> OwnFit:
        """Return a fit on its own, which sees no tail but that of its features."""
        own, f = super().own(k), self.system.fits[k]
        unseen = dict.fromkeys(self.noises, (S.Zero, S.Zero))
        kernel, kept = unseen, unseen
        if f.features is not None and f.features.noise in unseen:
            kernel = {**unseen, f.features.noise: (1 / own.penalty, -1 / own.penalty**2)}
            kept = {**unseen, f.features.noise: (S.One, -1 / own.penalty)}
        return replace(own, kernel=NoisyFunction(own.kernel, kernel), kept=NoisyFunction(own.kept, kept))

    def named(self, kind: str, index: tuple[Any, ...], e: Any) -> Any:
        """Return the name of a result that is not short, of a function also its scalars on the tails."""
        if not isinstance(e, NoisyFunction):
            return super().named(kind, index, e)
        tails = {
            x: tuple(
                super(NoisyExpressions, self).named(f"{kind.lower()}^{{({order})}}", (*index, str(i)), c)
                for order, c in enumerate(e.tails[x])
            )
            for i, x in enumerate(self.noises, start=1)
        }
        return NoisyFunction(super().named(kind, index, e.inputs), tails)

    def _one_ridge(self, f: PooledFit) -> OwnFit:
        if f.features is None or f.features.noise not in self.noises:
            return super()._one_ridge(f)
        rows: Expr = sum((x.T for x in f.designs), S.Zero)
        mass, m = f.designs[0].weight * rows / f.N, f.features.m
        kappa = symbols.implicit_scalar(len(self.equations) + 1)
        explained = df(1, kappa) + f.features.noise * SpectralTrace(eigenvalue) / kappa
        value = f.ridge / (mass * (1 - explained / rows) * (1 - explained / m))
        if f.ridge.is_zero:
            value = kappa * explained / Min(rows, m)
        self.equations[kappa] = Eq(kappa, value, evaluate=False)
        left = [mass * (1 - explained / rows)] * len(f.designs)
        kernel, kept = 1 / (eigenvalue + kappa), kappa / (eigenvalue + kappa)
        return OwnFit(kernel, kept, [1 / mass] * len(f.designs), [1] * len(f.designs), left, kappa)
