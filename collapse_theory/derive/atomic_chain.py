r"""Chains of any number of fits on spectra with a few distinct eigenvalues.

On k eigenvalues the generation operator is a k x k matrix, a diagonal one plus rank one, so that its powers are sums over the k
roots of its secular equation (:mod:`collapse_theory.algebra.secular`). They are what is printed; evaluated is the recursion, by
doubling, which also holds where eigenvalues meet.
"""

from __future__ import annotations

from typing import Any

from sympy import Add, Eq, Expr, S, Symbol, Tuple

from collapse_theory.algebra.atomic_spectrum import AtomicSpectrum
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.algebra.secular import RankOneUpdate, SecularScalar, SecularSum
from collapse_theory.core.errors import DomainError
from collapse_theory.derive.labeller_scalars import ChainScalar
from collapse_theory.derive.operator import Generation, response, shrinkage
from collapse_theory.derive.slopes import Slope
from collapse_theory.symbols import SecularRoot, eigenvalue

__all__ = ["AtomicChain"]


class AtomicChain(SecularScalar):
    """A scalar of a chain, or its slope, on atoms.

    Args:
        scalar: Of the chain, as on any spectrum.
        atoms: Triples of eigenvalue, directions and energy, the eigenvalues positive.
    """

    @classmethod
    def of(cls, scalar: Expr, spectrum: AtomicSpectrum) -> Expr:
        """Return a scalar on a spectrum."""
        return cls(scalar, Tuple(*(Tuple(s, m, w) for s, m, w in spectrum.triples)))

    @property
    def scalar(self) -> Expr:
        """The scalar, or the slope of one."""
        return self.args[0]

    @property
    def chain(self) -> ChainScalar:
        """The scalar of the chain."""
        chain: ChainScalar = self.scalar.scalar if isinstance(self.scalar, Slope) else self.scalar
        return chain

    @property
    def spectrum(self) -> AtomicSpectrum:
        """The atoms."""
        return AtomicSpectrum.of(tuple(x) for x in self.args[1])

    def both(self) -> tuple[Expr, ...]:
        """Return what one run of the recursion gives: this for bias and variance."""
        wrap = Slope if isinstance(self.scalar, Slope) else lambda x: x
        return tuple(AtomicChain(wrap(x), self.args[1]) for x in self.chain.both)

    def _derivative(self, x: Symbol) -> Expr:
        if self.args[1].has(x):
            raise DomainError(f"a chain has no derivative by its spectrum, got one by {x}; compare two values")
        slope = self.scalar.diff(x)
        return slope if slope.is_zero else AtomicChain(slope, self.args[1])

    # ------------------------------------------------------------------ written out
    @property
    def written(self) -> Expr:
        """The scalar by secular roots."""
        return self.scalar if isinstance(self.scalar, Slope) else self._written[0]

    @property
    def ridges(self) -> tuple[Expr, ...]:
        """The effective ridge of each block."""
        return tuple(self.spectrum.closed(x) for x in self.chain.ridges)

    @property
    def equations(self) -> tuple[Eq, ...]:
        """The secular equation of each run of fits, and the entries in it."""
        return () if isinstance(self.scalar, Slope) else self._written[1]

    def doit(self, **_hints: Any) -> Expr:
        """Return the scalar by secular roots without further names, the roots of a quadratic written out."""
        if isinstance(self.scalar, Slope):
            return self
        out, equations = self._written
        for eq in reversed([eq for eq in equations if eq.lhs != 1]):
            out = out.xreplace({eq.lhs: eq.rhs})
        return out.xreplace({x: x.doit() for x in out.atoms(SecularSum)})

    @property
    def _written(self) -> tuple[Expr, tuple[Eq, ...]]:
        runs, spectrum = self.chain.runs, self.spectrum
        values, energies = list(spectrum.counts), list(spectrum.energies.values())
        M, mean, variance = list(values), list(values), S.Zero
        equations: list[Eq] = []
        several = sum(count != 1 for _, count in runs) > 1
        for i, (stage, count) in reversed(list(enumerate(runs))):
            sigma = stage.sigma
            kept, operator = self._operator(stage, i if several else 0)
            mean = [x * r**count for x, r in zip(mean, kept, strict=True)]
            if count == 1:
                variance += sigma**2 * operator.measured(M)
                M = operator.image(M)
                continue
            operator, M, entries = operator.named(M, str(i + 1) if several else "")
            variance += sigma**2 * operator.measured_sum(M, count)
            M = operator.power(M, count)
            equations = [operator.equation, *entries, *equations]
        if self.chain.part:
            return variance, tuple(equations)
        lost = Add(*(w * (s - 2 * x) for w, s, x in zip(energies, values, mean, strict=True)))
        return lost + operator.gathered(energies, M), tuple(equations)

    def _operator(self, stage: Generation, index: int) -> tuple[list[Expr], RankOneUpdate]:
        """Return the mean of a fit in each eigenspace, and its generation operator."""
        r, unit = shrinkage(stage.kappa), response(S.One, stage)
        (trace,) = unit.atoms(SpectralTrace)
        pairs = self.spectrum.counts.items()

        def at(f: Expr) -> list[Expr]:
            return [self.spectrum.closed(f.xreplace({eigenvalue: s})) for s, _ in pairs]

        row = [
            self.spectrum.closed(unit.xreplace({trace: m * trace.integrand}).xreplace({eigenvalue: s}))
            for s, m in pairs
        ]
        return at(r), RankOneUpdate(at(r**2), at(stage.kappa**2 * r**2 / eigenvalue), row, SecularRoot(index))

    def _sympystr(self, printer: Any) -> str:
        return f"{printer.doprint(self.scalar)} on {printer.doprint(self.args[1])}"

    def _tex(self, printer: Any) -> tuple[str, str]:
        return printer.doprint(self.written), ""
