"""The recursion of :mod:`.cavity` written out: named scalars and matrices, each defined by names before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sympy import Eq, Expr, S, Symbol

from collapse_theory.derive.cavity import Cavity
from collapse_theory.derive.expressions import Expressions, replaced
from collapse_theory.derive.noisy_expressions import NoisyExpressions
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.symbols import Eigenvalue

__all__ = ["WrittenOut", "own_ridges", "write_out"]


@dataclass(frozen=True)
class WrittenOut:
    """Results of the recursion, with the definitions of the names in them.

    Attributes:
        results: The results.
        definitions: What each name stands for, a matrix for a name that is an eigenvalue; in an order in which each needs
            earlier ones only.
        ridges: The effective ridges of the fits, each once, in the order of the fits.
        equations: The equation of every implicit scalar other than an effective ridge, by its symbol.
    """

    results: tuple[Expr, ...]
    definitions: Mapping[Symbol, Expr]
    ridges: tuple[Expr, ...]
    equations: Mapping[Symbol, Eq]

    def explicit(self) -> tuple[Expr, ...]:
        """Return the results with every name replaced by what it stands for."""
        known: dict[Expr, Expr] = {}
        for x, definition in self.definitions.items():
            known[x] = replaced(definition, known)
        return tuple(replaced(e, known) for e in self.results)

    def in_scalars(self) -> WrittenOut:
        """Return the same without names for matrices: the integrals are of functions of the eigenvalues and of scalars."""
        known: dict[Expr, Expr] = {}
        scalars: dict[Symbol, Expr] = {}
        for x, definition in self.definitions.items():
            target = known if isinstance(x, Eigenvalue) else scalars
            target[x] = replaced(definition, known)
        return replace(self, results=tuple(replaced(e, known) for e in self.results), definitions=scalars)


def write_out(system: PooledSystem, *, terms: bool = False) -> WrittenOut:
    """Return the test error of a system of fits, or its bias and variance.

    Args:
        system: The pooled fits.
        terms: Whether bias and variance are wanted apart.
    """
    field = _field(system)
    cavity = Cavity(system, field)
    found = (cavity.bias(), cavity.variance()) if terms else (cavity.error(),)
    results = tuple(S.Zero if x is None else x for x in found)
    return WrittenOut(results, field.used(*results), tuple(field.ridges), field.equations)


def own_ridges(system: PooledSystem) -> tuple[tuple[Expr, ...], tuple[Eq, ...]]:
    """Return the effective ridges of the fits, each once, and the equations of the other implicit scalars."""
    field = _field(system)
    for k in range(len(system.fits)):
        field.own(k)
    return tuple(field.ridges), tuple(field.equations.values())


def _field(system: PooledSystem) -> Expressions:
    return NoisyExpressions(system) if system.feature_noises else Expressions(system)
