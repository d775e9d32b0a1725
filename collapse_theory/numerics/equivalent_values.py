"""Deterministic equivalents at numbers: binding, checking, and the values on a spectrum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr, MatrixExpr, Symbol

from collapse_theory.core.arguments import instance
from collapse_theory.core.errors import DomainError, nearest, shown
from collapse_theory.core.numbers import integer, real_values
from collapse_theory.core.precision import exact_value, public_number
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.engine.equivalent import RESULT, DeterministicEquivalent, deterministic_equivalent
from collapse_theory.numerics.limits import entry_or_limit, entry_to_digits
from collapse_theory.numerics.measure import Measure

__all__ = ["EquivalentValues", "check_existence", "evaluate", "solve_equivalent"]

_MOST_DIGITS = 10_000


@dataclass(frozen=True)
class EquivalentValues:
    """An equivalent at numbers.

    Attributes:
        values: ``g(s_j)`` in the order of the spectrum; a scalar on a space without covariance.
        residual: Largest relative residual of the nonlinear equations.
    """

    values: np.ndarray
    residual: float


def evaluate(
    equivalent: DeterministicEquivalent,
    spectrum: Spectrum | Mapping[str, Spectrum] | None = None,
    *,
    digits: int | None = None,
    **values: Any,
) -> np.ndarray:
    """Return the values of :meth:`~collapse_theory.engine.equivalent.DeterministicEquivalent.evaluate`."""
    if digits is not None:
        return _to_digits(equivalent, spectrum, digits, values)
    names = sorted(values)
    given = [real_values(values[n], n) for n in names]
    try:
        arrays = np.broadcast_arrays(*given)
    except ValueError as e:
        raise DomainError(f"evaluate needs arrays that broadcast, got {shown(values)}; {e}") from e
    shape = arrays[0].shape if arrays else ()
    rows = [
        solve_equivalent(equivalent, spectrum, **{n: float(a[i]) for n, a in zip(names, arrays, strict=True)}).values
        for i in np.ndindex(shape)
    ]
    if not rows:
        raise DomainError(f"evaluate needs at least one value of each argument, got the shape {shape}; give some")
    return np.reshape(np.array(rows), shape + rows[0].shape)


def solve_equivalent(
    equivalent: DeterministicEquivalent, spectrum: Spectrum | Mapping[str, Spectrum] | None = None, **values: float
) -> EquivalentValues:
    """Return the values at one point together with the residual."""
    point = _BoundEquivalent.of(equivalent, spectrum, values, "here; use evaluate for arrays")
    entry, residual = entry_or_limit(equivalent.structure, point.spaces, point.parameters, point.place)
    return EquivalentValues(point.listed(entry, float), residual)


def _to_digits(
    equivalent: DeterministicEquivalent,
    spectrum: Spectrum | Mapping[str, Spectrum] | None,
    digits: int,
    values: Mapping[str, Any],
) -> np.ndarray:
    digits = integer(digits, "digits", least=1, most=_MOST_DIGITS, remedy="give for example 30")
    point = _BoundEquivalent.of(equivalent, spectrum, values, "with digits=; loop over it")

    def exactly(mp: Any) -> tuple[dict[Expr, Measure], dict[Symbol, Any]]:
        def nodes(s: Spectrum) -> np.ndarray:
            return np.array(s.exact_nodes(mp), dtype=object)

        given = {x: exact_value(values.get(x.name, v), mp) for x, v in point.parameters.items()}
        return {p: _space(equivalent, p, point.spectra, point.parameters, nodes) for p in point.spaces}, given

    entry = entry_to_digits(equivalent.structure, point.spaces, point.parameters, point.place, exactly, digits)
    public = np.vectorize(public_number, otypes=[object])
    return point.listed(public(entry), object)


@dataclass(frozen=True)
class _BoundEquivalent:
    """An equivalent with a value for everything.

    Attributes:
        equivalent: The equivalent.
        spectra: The spectra by name of the covariance.
        parameters: Values of the free symbols.
        spaces: Measures by dimension.
    """

    equivalent: DeterministicEquivalent
    spectra: Mapping[str, Spectrum]
    parameters: Mapping[Symbol, float]
    spaces: Mapping[Expr, Measure]

    @classmethod
    def of(
        cls,
        equivalent: DeterministicEquivalent,
        spectrum: Spectrum | Mapping[str, Spectrum] | None,
        values: Mapping[str, Any],
        where: str,
    ) -> _BoundEquivalent:
        """Return it, all values checked; ``where`` says in an error where they are scalars, and the remedy."""
        spectra = _spectra(equivalent, spectrum)
        arrays = {name: real_values(x, name) for name, x in values.items()}
        for name, x in arrays.items():
            if x.ndim:
                raise DomainError(f"{name} needs to be a scalar {where.replace(';', f', got shape {x.shape};')}")
        parameters = _parameters(equivalent, spectra, {name: float(x) for name, x in arrays.items()})
        spaces = {p: _space(equivalent, p, spectra, parameters) for p in equivalent.pencil.dimensions}
        return cls(equivalent, spectra, parameters, spaces)

    @property
    def place(self) -> tuple[int, int]:
        """The entry of the pencil's inverse that is the result."""
        pencil = self.equivalent.pencil
        return pencil.outputs[RESULT], pencil.inputs[RESULT]

    def listed(self, entry: Any, kind: type) -> np.ndarray:
        """Return an entry at every eigenvalue, from its values at the nodes."""
        dimension = self.equivalent.expression.rows
        if dimension not in self.equivalent.pencil.covariances:
            return np.reshape(entry, ()).astype(kind)
        space = self.spaces[dimension]
        return np.repeat(np.broadcast_to(entry, (space.size,)), space.counts)


def check_existence(expression: MatrixExpr) -> None:
    """Check that a matrix expression without symbols and covariances has an equivalent.

    Raises:
        NoEquivalentError: If it has none.
    """
    solve_equivalent(deterministic_equivalent(expression))


def _spectra(
    equivalent: DeterministicEquivalent, spectrum: Spectrum | Mapping[str, Spectrum] | None
) -> dict[str, Spectrum]:
    wanted = sorted(name for names in equivalent.pencil.covariances.values() for name in names)
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


def _parameters(
    equivalent: DeterministicEquivalent, spectra: Mapping[str, Spectrum], values: Mapping[str, float]
) -> dict[Symbol, float]:
    known: dict[Symbol, float] = {}
    for p, names in equivalent.pencil.covariances.items():
        sizes = {name: spectra[name].dimension for name in names}
        size = next(iter(sizes.values()))
        if len(set(sizes.values())) > 1:
            raise DomainError(
                f"evaluate needs spectra of one length in the common eigenbasis, got {sizes}; list every eigenvalue"
            )
        if p.is_number and int(p) != size:
            raise DomainError(f"evaluate needs {p} eigenvalues for {', '.join(names)}, got {size}; change the spectrum")
        if isinstance(p, Symbol):
            known[p] = float(size)
    for name, x in values.items():
        if name not in equivalent.symbols:
            raise DomainError(f"evaluate got an unknown value {shown(name)}{nearest(name, equivalent.symbols)}")
        symbol = equivalent.symbols[name]
        if symbol in known and known[symbol] != x:
            raise DomainError(
                f"evaluate needs {name} = {known[symbol]:g}, the length of the spectrum, got {shown(x)}; omit it"
            )
        if not np.isfinite(x) or (symbol.is_positive and x <= 0) or (symbol.is_nonnegative and x < 0):
            range_ = " and > 0" if symbol.is_positive else " and >= 0" if symbol.is_nonnegative else ""
            raise DomainError(f"evaluate needs {name} finite{range_}, got {shown(x)}; change {name}")
        known[symbol] = x
    missing = sorted(n for n, x in equivalent.symbols.items() if x not in known)
    if missing:
        raise DomainError(f"evaluate needs a value for {', '.join(missing)}; pass it by name")
    return known


def _space(
    equivalent: DeterministicEquivalent,
    p: Expr,
    spectra: Mapping[str, Spectrum],
    parameters: Mapping[Symbol, float],
    nodes: Callable[[Spectrum], np.ndarray] = lambda s: s.nodes,
) -> Measure:
    names = equivalent.pencil.covariances.get(p, ())
    if len(names) == 1:
        one = spectra[names[0]]
        return Measure({names[0]: nodes(one)}, one.counts)
    if names:
        listed = {name: np.repeat(nodes(spectra[name]), spectra[name].counts) for name in names}
        return Measure(listed, np.ones(spectra[names[0]].dimension, dtype=int))
    size = float(p.xreplace(dict(parameters)))
    if not size > 0:
        raise DomainError(f"evaluate needs positive dimensions, got {p} = {size:g}; change it")
    return Measure({}, np.array([size]))
