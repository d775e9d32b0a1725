r"""Deterministic equivalents of matrix expressions: the public face of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Eq, Expr, MatrixExpr, S, Symbol
from sympy.matrices.expressions.inverse import Inverse

from collapse_theory.algebra.integrals import QuadraticForm
from collapse_theory.core.arguments import instance
from collapse_theory.core.errors import DomainError, nearest, shown
from collapse_theory.core.numbers import real_values
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.engine.closed_form import ClosedForm, solve_symbolic
from collapse_theory.engine.guard import Existence
from collapse_theory.engine.implicit import trace_over
from collapse_theory.engine.language import subexpressions
from collapse_theory.engine.linearise import linearise
from collapse_theory.engine.pencil import Pencil
from collapse_theory.engine.triangular import Structure, structure_of
from collapse_theory.numerics.entries import Nodes
from collapse_theory.numerics.limits import entry_or_limit

__all__ = ["DeterministicEquivalent", "EquivalentValues", "deterministic_equivalent"]

_RESULT = "x"


@dataclass(frozen=True)
class EquivalentValues:
    """An equivalent at numbers.

    Attributes:
        values: ``g(s_j)`` in the order of the spectrum; a scalar on a space without covariance.
        residual: Largest relative residual of the nonlinear equations.
    """

    values: np.ndarray
    residual: float


@dataclass(frozen=True)
class DeterministicEquivalent:
    r"""A function :math:`g(\Sigma)` that stands for a random matrix :math:`E` as the dimensions grow together.

    For bounded deterministic :math:`B`, :math:`\operatorname{tr}[BE]\simeq\operatorname{tr}[B\,g(\Sigma)]`.
    Made by :func:`deterministic_equivalent`.

    Attributes:
        expression: The random matrix expression ``E``.
        structure: Its pencil in block triangular form.
    """

    expression: MatrixExpr
    structure: Structure = field(compare=False, repr=False)

    @property
    def pencil(self) -> Pencil:
        """The linear system behind the expression; ``print`` shows it equation by equation."""
        return self.structure.pencil

    @cached_property
    def closed_form(self) -> ClosedForm:
        """The solution with the scalars in it named and defined one by one."""
        return solve_symbolic(self.structure)

    @cached_property
    def expr(self) -> Expr:
        """``g`` as a SymPy expression in the eigenvalue of each covariance, effective ridges, traces and parameters.

        Unless the equivalent is seen to exist for all parameters, with the factor :class:`~.guard.Existence`.
        """
        return self.closed_form.explicit(_RESULT) * Existence(self.expression)

    @property
    def equations(self) -> tuple[Eq, ...]:
        """The defining equation of every implicit scalar in ``expr``, as SymPy ``Eq``."""
        from collapse_theory.algebra.naming import implicit_equations, named, ridge_names

        shown = self.expr
        rest = tuple(self.closed_form.equations.values())
        return implicit_equations(shown) + tuple(
            Eq(*(named(side, ridge_names(shown)) for side in eq.args), evaluate=False) for eq in rest
        )

    def latex(self) -> str:
        r"""Return the statement :math:`E\simeq g(\Sigma)` and the equations of its scalars."""
        from collapse_theory.algebra.naming import named, ridge_names
        from collapse_theory.algebra.printing import matrix_function
        from collapse_theory.present.latex import TheoryLatexPrinter, to_latex

        conditions = self.expr.atoms(Existence)
        shown = self.expr.xreplace(dict.fromkeys(conditions, S.One))
        body = matrix_function(named(shown, ridge_names(shown)), TheoryLatexPrinter())
        lines = [rf"{to_latex(self.expression)} &\simeq {body}"]
        lines += [rf"{to_latex(eq.lhs)} &= {to_latex(eq.rhs)}" for eq in self.equations]
        if conditions:
            lines.append(r"\rho\big(X \mapsto G\,\eta_{Q,Q^\top}(X)\,G^\top\big) &< 1")
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def trace(self) -> Expr:
        r"""Return :math:`\operatorname{tr}g(\Sigma)` as a SymPy expression."""
        return trace_over(self.expression.rows, self.expr)

    def quadratic_form(self) -> Expr:
        r"""Return :math:`w_0^\top g(\Sigma)w_0` as a SymPy expression."""
        return QuadraticForm(self.expr)

    def evaluate(self, spectrum: Spectrum | Mapping[str, Spectrum] | None = None, **values: Any) -> np.ndarray:
        """Return the values ``g(s_j)``.

        Args:
            spectrum: Eigenvalues of the covariance; a mapping by name where there are several, listed in their common
                eigenbasis. Omitted if the expression has no covariance.
            **values: A value for every symbol of the expression, by name; arrays broadcast. The dimension of a
                covariance comes from its spectrum.

        Returns:
            float64 array of the broadcast shape of the values followed by the dimension (no last axis on a space without
            covariance).

        Raises:
            DomainError: If a value is missing, unknown or out of range, or the expression is singular there.
            ConvergenceError: If a nonlinear component is not solved.
        """
        names = sorted(values)
        given = [real_values(values[n], n) for n in names]
        try:
            arrays = np.broadcast_arrays(*given)
        except ValueError as e:
            raise DomainError(f"evaluate needs arrays that broadcast, got {shown(values)}; {e}") from e
        shape = arrays[0].shape if arrays else ()
        rows = [
            self.solve(spectrum, **{n: float(a[i]) for n, a in zip(names, arrays, strict=True)}).values
            for i in np.ndindex(shape)
        ]
        if not rows:
            raise DomainError(f"evaluate needs at least one value of each argument, got the shape {shape}; give some")
        return np.reshape(np.array(rows), shape + rows[0].shape)

    def solve(self, spectrum: Spectrum | Mapping[str, Spectrum] | None = None, **values: float) -> EquivalentValues:
        """Return the values at one point together with the residual; arguments as in :meth:`evaluate`."""
        spectra = self._spectra(spectrum)
        arrays = {name: real_values(x, name) for name, x in values.items()}
        for name, x in arrays.items():
            if x.ndim:
                raise DomainError(f"{name} needs to be a scalar here, got shape {x.shape}; use evaluate for arrays")
        values = {name: float(x) for name, x in arrays.items()}
        parameters = self._parameters(spectra, values)
        spaces = {}
        for p in self.pencil.dimensions:
            spaces[p] = self._space(p, spectra, parameters)
        place = self.pencil.outputs[_RESULT], self.pencil.inputs[_RESULT]
        entry, residual = entry_or_limit(self.structure, spaces, parameters, place)
        dimension = self.expression.rows
        if dimension in self.pencil.families:
            g = np.broadcast_to(entry, spaces[dimension].counts.shape)
            counts = spaces[dimension].counts.astype(int)
            return EquivalentValues(np.repeat(g, counts), residual)
        return EquivalentValues(np.reshape(entry, ()).astype(float), residual)

    # ------------------------------------------------------------------ arguments
    @cached_property
    def symbols(self) -> Mapping[str, Symbol]:
        """The scalar symbols of the expression by name."""
        return {
            x.name: x
            for x in sorted((x for x in subexpressions(self.expression) if isinstance(x, Symbol)), key=lambda x: x.name)
        }

    def _spectra(self, spectrum: Spectrum | Mapping[str, Spectrum] | None) -> dict[str, Spectrum]:
        wanted = sorted(name for names in self.pencil.families.values() for name in names)
        if isinstance(spectrum, Spectrum) and not wanted:
            raise DomainError("evaluate needs no spectrum, since the expression has no covariance, got one; omit it")
        if isinstance(spectrum, Spectrum):
            if len(wanted) != 1:
                raise DomainError(
                    f"evaluate needs one spectrum for each of {', '.join(wanted)}, got a single one; pass a mapping by name"
                )
            return {wanted[0]: spectrum}
        given = dict(
            instance(
                {} if spectrum is None else spectrum,
                Mapping,
                "spectrum",
                "pass a spectrum, or a mapping by name",
                DomainError,
            )
        )
        for name, one in given.items():
            instance(one, Spectrum, f"spectrum of {shown(name)}", "write ct.Eigenvalues(values)", DomainError)
        if set(given) != set(wanted):
            raise DomainError(
                f"evaluate needs a spectrum for {', '.join(wanted) or 'no covariance'}, "
                f"got {', '.join(sorted(map(str, given))) or 'none'}; pass spectrum="
            )
        return given

    def _parameters(self, spectra: Mapping[str, Spectrum], values: Mapping[str, float]) -> dict[Symbol, float]:
        known: dict[Symbol, float] = {}
        for p, names in self.pencil.families.items():
            sizes = {name: spectra[name].dimension for name in names}
            size = next(iter(sizes.values()))
            if len(set(sizes.values())) > 1:
                raise DomainError(
                    f"evaluate needs spectra of one length in the common eigenbasis, got {sizes}; list every eigenvalue"
                )
            if p.is_number and int(p) != size:
                raise DomainError(
                    f"evaluate needs {p} eigenvalues for {', '.join(names)}, got {size}; change the spectrum"
                )
            if isinstance(p, Symbol):
                known[p] = float(size)
        for name, x in values.items():
            if name not in self.symbols:
                raise DomainError(f"evaluate got an unknown value {shown(name)}{nearest(name, self.symbols)}")
            symbol = self.symbols[name]
            if symbol in known and known[symbol] != x:
                raise DomainError(
                    f"evaluate needs {name} = {known[symbol]:g}, the length of the spectrum, got {shown(x)}; omit it"
                )
            if not np.isfinite(x) or (symbol.is_positive and x <= 0) or (symbol.is_nonnegative and x < 0):
                range_ = " and > 0" if symbol.is_positive else " and >= 0" if symbol.is_nonnegative else ""
                raise DomainError(f"evaluate needs {name} finite{range_}, got {shown(x)}; change {name}")
            known[symbol] = x
        missing = sorted(n for n, x in self.symbols.items() if x not in known)
        if missing:
            raise DomainError(f"evaluate needs a value for {', '.join(missing)}; pass it by name")
        return known

    def _space(self, p: Expr, spectra: Mapping[str, Spectrum], parameters: Mapping[Symbol, float]) -> Nodes:
        names = self.pencil.families.get(p, ())
        if len(names) == 1:
            one = spectra[names[0]]
            return Nodes({names[0]: one.nodes}, one.counts.astype(float))
        if names:
            return Nodes({name: spectra[name].eigenvalues for name in names}, np.ones(spectra[names[0]].dimension))
        size = float(p.xreplace(dict(parameters)))
        if not size > 0:
            raise DomainError(f"evaluate needs positive dimensions, got {p} = {size:g}; change it")
        return Nodes({}, np.array([size]))


def deterministic_equivalent(expression: MatrixExpr) -> DeterministicEquivalent:
    r"""Derive the deterministic equivalent of a rational expression in Gaussian matrices.

    Args:
        expression: A square SymPy matrix expression: sums, products, transposes, inverses and integer powers of
            :class:`GaussianMatrix`, :class:`Covariance` and the identity, with scalar coefficients.

    Raises:
        DomainError: If the expression is outside that language, or singular where the Gaussian matrices vanish.
        NonCommutingError: If covariances of one space are not declared commuting.

    >>> from sympy import Identity
    >>> from collapse_theory.symbols import T, d, lam
    >>> from collapse_theory.engine.letters import Covariance, GaussianMatrix, sqrt
    >>> X = GaussianMatrix("Z", T, d) * sqrt(Covariance("Sigma", d))
    >>> deterministic_equivalent((X.T * X / T + lam * Identity(d)).inv()).expr
    EffectiveRidge(T, lam)/(lam*(Sigma + EffectiveRidge(T, lam)))
    """
    pencil = linearise(expression)
    try:
        structure = structure_of(pencil)
    except DomainError as error:
        raise DomainError(
            f"deterministic_equivalent needs inverses that exist where the Gaussian matrices vanish, got {_culprit(expression)}; "
            "add a ridge, and take the limit at evaluation"
        ) from error
    return DeterministicEquivalent(expression, structure)


def _culprit(expression: MatrixExpr) -> MatrixExpr:
    """Return the smallest inverse whose own pencil is singular, else the whole expression."""
    inverses = {e for e in subexpressions(expression) if isinstance(e, Inverse) or (e.is_Pow and e.exp.is_negative)}
    for e in sorted(inverses, key=lambda e: (e.count_ops(), str(e))):
        try:
            structure_of(linearise(e))
        except DomainError:
            return e
    return expression
