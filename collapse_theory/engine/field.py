r"""Functions of the covariance as elements of a field of rational functions.

Exact and fast: sums and products are brought to lowest terms at once, equality is decided, nothing needs ``simplify``.
Where a symbol occurs with fractional powers its root is the generator; other irrational scalars are generators themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import lcm
from typing import Any

from sympy import QQ, Dummy, Expr, Pow, Rational, Symbol
from sympy.polys.matrices import DomainMatrix
from sympy.polys.matrices.exceptions import DMNonInvertibleMatrixError

from collapse_theory.core.errors import DomainError
from collapse_theory.symbols import Eigenvalue

__all__ = ["FunctionField"]


class FunctionField:
    """The field of rational functions in parameters and eigenvalues.

    Args:
        expressions: What has to be representable.
        scalars: Further generators.

    >>> from sympy import sqrt
    >>> from collapse_theory.symbols import T, eigenvalue as s
    >>> field = FunctionField([sqrt(s) / T])
    >>> field.expression(field.element(sqrt(s) / T) ** 2)
    Sigma/T**2
    """

    def __init__(self, expressions: Iterable[Expr], scalars: Iterable[Symbol] = ()) -> None:
        wanted = list(dict.fromkeys(expressions))
        self.roots = _roots(wanted)
        self._opaque: dict[Expr, Dummy] = {}
        found: set[Expr] = set(scalars)
        for e in wanted:
            found |= self._rational(e).free_symbols
        roots = {q for q, _ in self.roots.values()}
        self.generators = tuple(sorted(found, key=lambda x: (isinstance(x, Eigenvalue) or x in roots, x.sort_key())))
        self.domain = QQ.frac_field(*self.generators) if self.generators else QQ
        self._back = {q: x ** Rational(1, k) for x, (q, k) in self.roots.items()} | {
            q: e for e, q in self._opaque.items()
        }
        self._known: dict[Expr, Any] = {}

    def element(self, e: Expr) -> Any:
        """Return an expression as an element of the field.

        Raises:
            DomainError: If it contains anything the field was not made for.
        """
        if e not in self._known:
            try:
                self._known[e] = self.domain.from_sympy(self._rational(e))
            except ValueError as error:
                raise DomainError(
                    f"a closed form needs rational functions, got {e}; use numbers through evaluate"
                ) from error
        return self._known[e]

    def expression(self, x: Any) -> Expr:
        """Return an element as a SymPy expression, a fraction in lowest terms."""
        e = self.domain.to_sympy(x)
        return e.xreplace(self._back) if self._back else e

    def inverse(self, matrix: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the inverse of a small matrix of elements.

        Raises:
            DomainError: If it is singular.
        """
        if len(matrix) == 1 and matrix[0][0] != 0:
            return [[1 / matrix[0][0]]]
        try:
            return DomainMatrix([list(row) for row in matrix], (len(matrix), len(matrix)), self.domain).inv().to_list()
        except DMNonInvertibleMatrixError as error:
            raise DomainError("the pencil needs to be invertible, got a singular block; add a ridge") from error

    def _rational(self, e: Expr) -> Expr:
        """Return ``e`` with roots, and scalars that are not rational, replaced by generators."""
        if e.is_Float:
            return Rational(e)
        if e.is_Rational:
            return e
        if e.is_Symbol:
            return self.roots[e][0] ** self.roots[e][1] if e in self.roots else e
        if e.is_Add or e.is_Mul or (e.is_Pow and e.exp.is_Integer):
            return e.func(*(self._rational(a) for a in e.args))
        if e.is_Pow and e.exp.is_Rational and e.base in self.roots:
            q, k = self.roots[e.base]
            return q ** (e.exp * k)
        if e.is_Pow and e.exp.is_Rational:
            return self._generator(Pow(e.base, Rational(1, e.exp.q))) ** e.exp.p
        return self._generator(e)

    def _generator(self, e: Expr) -> Dummy:
        if e not in self._opaque:
            self._opaque[e] = Dummy(f"x{len(self._opaque)}", positive=e.is_positive)
        return self._opaque[e]


def _roots(expressions: Iterable[Expr]) -> dict[Symbol, tuple[Dummy, int]]:
    """Return the root of each symbol that occurs with fractional powers, and its order."""
    order: dict[Symbol, int] = {}
    for e in expressions:
        for p in e.atoms(Pow):
            if p.base.is_Symbol and p.exp.is_Rational and not p.exp.is_Integer:
                order[p.base] = lcm(order.get(p.base, 1), p.exp.q)
    return {
        x: (Dummy(f"root_{x.name}", positive=True), k) for x, k in sorted(order.items(), key=lambda item: item[0].name)
    }
