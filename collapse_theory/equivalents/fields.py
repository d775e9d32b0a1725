r"""Functions of the covariance as elements of a field of rational functions.

Exact and fast: sums and products are brought to lowest terms at once, equality is decided, nothing needs ``simplify``.
A half-integer power of an eigenvalue is a power of its root, a generator of the field in the eigenvalue's place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from sympy import QQ, Dummy, Expr, Pow, S, Symbol
from sympy.polys.matrices import DomainMatrix
from sympy.polys.matrices.exceptions import DMNonInvertibleMatrixError

from collapse_theory.errors import DomainError
from collapse_theory.symbols import Eigenvalue

__all__ = ["FunctionField"]


class FunctionField:
    """The field of rational functions in parameters and eigenvalues.

    Args:
        expressions: What has to be representable.
        scalars: Further generators.
    """

    def __init__(self, expressions: Iterable[Expr], scalars: Iterable[Symbol] = ()) -> None:
        found: set[Symbol] = set(scalars)
        rooted: set[Eigenvalue] = set()
        for e in expressions:
            found |= e.free_symbols
            rooted |= {p.base for p in e.atoms(Pow) if isinstance(p.base, Eigenvalue) and not p.exp.is_Integer}
        self.roots = {s: Dummy(f"sqrt_{s.name}", positive=True) for s in sorted(rooted, key=str)}
        self.generators = tuple(self.roots.get(x, x) for x in sorted(found, key=lambda x: (isinstance(x, Eigenvalue), x.name)))
        self.domain = QQ.frac_field(*self.generators) if self.generators else QQ
        self._known: dict[Expr, Any] = {}

    @cached_property
    def _forward(self) -> dict[Expr, Expr]:
        return {s: q**2 for s, q in self.roots.items()}

    @cached_property
    def _backward(self) -> dict[Expr, Expr]:
        return {q: s**S.Half for s, q in self.roots.items()}

    def element(self, e: Expr) -> Any:
        """Return an expression as an element of the field.

        Raises:
            DomainError: If it is not a rational function of the generators.
        """
        if e not in self._known:
            try:
                self._known[e] = self.domain.from_sympy(e.subs(self._forward) if self.roots else e)
            except (ValueError, NotImplementedError) as error:
                raise DomainError(f"the closed form needs rational functions of the parameters, got {e}; use numbers through evaluate") from error
        return self._known[e]

    def expression(self, x: Any) -> Expr:
        """Return an element as a SymPy expression, a fraction in lowest terms."""
        e = self.domain.to_sympy(x)
        return e.xreplace(self._backward) if self.roots else e

    def inverse(self, m: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the inverse of a small matrix of elements.

        Raises:
            DomainError: If it is singular.
        """
        if len(m) == 1 and m[0][0] != 0:
            return [[1 / m[0][0]]]
        try:
            return DomainMatrix([list(row) for row in m], (len(m), len(m)), self.domain).inv().to_list()
        except DMNonInvertibleMatrixError as error:
            raise DomainError("the pencil needs to be invertible, got a singular block; add a ridge") from error
