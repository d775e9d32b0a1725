r"""Expressions on a spectrum whose atoms are written out: integrals become sums, effective ridges roots of polynomials.

The effective ridge of random features is one of them: with :math:`\kappa` that of m rows at :math:`\kappa_1`,
:math:`T(\kappa_1-\lambda)=\kappa_1\sum_im_is_i/(s_i+\kappa)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sympy import Add, Eq, Expr, S, factor

from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge, atoms_of
from collapse_theory.algebra.effective import EffectiveRidge, ImplicitRidge, Residual, ResidualDegrees
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge
from collapse_theory.algebra.integrals import OffsetForm, SpectralIntegral, SpectralTrace
from collapse_theory.algebra.opaque import called
from collapse_theory.core.errors import DomainError
from collapse_theory.symbols import eigenvalue, other_eigenvalue

__all__ = ["AtomicFeatureResidual", "AtomicFeatureRidge", "AtomicSpectrum"]


@dataclass(frozen=True)
class AtomicSpectrum:
    """A spectrum and a target by their atoms.

    Attributes:
        counts: Directions of each eigenvalue, the eigenvalues positive and distinct.
        energies: The target's energy at each eigenvalue.
        few: Rows that are known to be fewer than the directions.
    """

    counts: Mapping[Expr, Expr]
    energies: Mapping[Expr, Expr]
    few: frozenset[Expr] = frozenset()

    @classmethod
    def of(cls, atoms: Iterable[tuple[Expr, Expr, Expr]], few: Iterable[Expr] = ()) -> AtomicSpectrum:
        """Return the spectrum of triples of eigenvalue, directions and energy; equal eigenvalues are put together."""
        counts: dict[Expr, Expr] = {}
        energies: dict[Expr, Expr] = {}
        for s, m, w in atoms:
            counts[s], energies[s] = counts.get(s, S.Zero) + m, energies.get(s, S.Zero) + w
        return cls(counts, energies, frozenset(few))

    @property
    def rank(self) -> Expr:
        """The number of directions."""
        return Add(*self.counts.values())

    @property
    def triples(self) -> list[tuple[Expr, Expr, Expr]]:
        """Eigenvalue, directions and energy, each eigenvalue once."""
        return [(s, m, self.energies[s]) for s, m in self.counts.items()]

    def closed(self, e: Any) -> Any:
        """Return an expression with sums for integrals and roots for effective ridges.

        A further covariance is taken to be isotropic, its eigenvalue the symbol of its name.
        """
        while integrals := e.atoms(SpectralIntegral):
            e = e.xreplace({x: self._integral(x) for x in integrals})
        return e.xreplace({x: self._root(x) for x in e.atoms(*_ON_ATOMS)})

    def _integral(self, x: SpectralIntegral) -> Expr:
        if isinstance(x, OffsetForm):
            raise DomainError(
                f"a closed form on few eigenvalues needs one truth, got {x}; evaluate with a target for each truth"
            )
        weights = self.counts if isinstance(x, SpectralTrace) else self.energies
        others = {y: other_eigenvalue(y.name) for y in x.bound_symbols}
        return Add(*(w * x.integrand.xreplace({**others, eigenvalue: s}) for s, w in weights.items()))

    def _root(self, x: Expr) -> Expr:
        *rows, lam = map(self.closed, x.args)
        args = (*rows, *(y for pair in self.counts.items() for y in pair), lam)
        kind = _ON_ATOMS[type(x)]
        if lam.is_zero and len(self.counts) == 1 and x.args[0] in self.few and not isinstance(x, _FEATURES):
            kappa = AtomicRidge.without_ridge(*args)
            return kappa if kind is AtomicRidge else factor(AtomicResidual.at(kappa, *args))
        return kind(*args)


class AtomicFeatureRidge(ImplicitRidge):
    """The effective ridge of a fit on random features, on atoms.

    Args:
        T: Number of rows.
        m: Number of features.
        atoms: As in :class:`.AtomicRidge`.
        lam: Ridge on the mean squared error.
    """

    @staticmethod
    def explained(x: Expr, *between: Expr) -> Expr:
        r"""Return :math:`\kappa_1\,\mathrm{df}_1(\kappa)`."""
        m, *flat = between
        kappa = AtomicRidge(m, *flat, x)
        return x * Add(*(count * s / (s + kappa) for s, count in atoms_of(flat)))

    @property
    def residual(self) -> Expr:
        r""":math:`T` less the :math:`\mathrm{df}_2` of the features."""
        return AtomicFeatureResidual(*self.args)

    @property
    def inputs(self) -> Expr:
        """The effective ridge of the inputs."""
        return AtomicRidge(*self.args[1:-1], self)

    def equation(self, x: Expr, kappa: Expr) -> Eq:
        """Return the equation, in the symbols ``x`` and ``kappa``."""
        T, _, *flat, lam = self.args
        return Eq(x - lam, x * Add(*(m * s / (s + kappa) for s, m in atoms_of(flat))) / T, evaluate=False)

    def _tex(self, printer: Any) -> tuple[str, str]:
        T, m, *_, lam = self.args
        return called(r"\kappa_{1}", (T, m, lam), printer)


class AtomicFeatureResidual(Residual):
    """The residual degrees of freedom of a fit on random features, on atoms; arguments as in :class:`AtomicFeatureRidge`."""

    @classmethod
    def definition(cls, *args: Expr) -> Expr:
        """Return the difference."""
        T, m, *flat, lam = args
        return AtomicSpectrum.of((s, count, S.Zero) for s, count in atoms_of(flat)).closed(
            FeatureResidual(T, m, lam).doit()
        )


_FEATURES = (FeatureRidge, FeatureResidual)
_ON_ATOMS: Mapping[type[Expr], type[Expr]] = {
    EffectiveRidge: AtomicRidge,
    ResidualDegrees: AtomicResidual,
    FeatureRidge: AtomicFeatureRidge,
    FeatureResidual: AtomicFeatureResidual,
}
