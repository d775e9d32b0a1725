r"""Sums over the roots of a secular equation: powers of a multiplication operator plus rank one.

:math:`G=D+hg^\top` on k values has the eigenvalues :math:`e` that solve :math:`1=\sum_jg_jh_j/(e-D_j)`, one above each
:math:`D_j`, and

.. math:: (G^nM)_j=\sum_ee^n\,\frac{h_j}{e-D_j}\,\frac{\sum_ig_iM_i/(e-D_i)}{\sum_ig_ih_i/(e-D_i)^2},

where :math:`\sum_jg_j(G^nM)_j` has a one for the first fraction.

Source: Golub, Some Modified Matrix Eigenvalue Problems, SIAM Review 1973.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Add, Eq, Expr, S, Symbol, Tuple, factor_terms, preorder_traversal, sqrt

from collapse_theory.algebra.opaque import Opaque
from collapse_theory.symbols import SecularRoot, operator_entry

__all__ = ["RankOneUpdate", "SecularScalar", "SecularSum", "visible"]


class SecularSum(Opaque):
    r"""The sum of a function over the roots of :math:`1=\sum_jz_j/(e-D_j)`.

    Args:
        summand: Function of the bound root.
        root: The bound root.
        poles: Pairs of :math:`D_j` and :math:`z_j`.

    >>> e = SecularRoot()
    >>> SecularSum(e**2, e, ((1, 3), (2, 0))).doit()
    20
    """

    _binds = SecularRoot

    def doit(self, **_hints: Any) -> Expr:
        """Return the sum over the roots of a quadratic, and the object for more roots."""
        summand, root, poles = self.args
        if len(poles) != 2:
            return self
        (first, z1), (second, z2) = poles
        apart = first + z1 - second - z2
        width = sqrt(apart**2 + 4 * z1 * z2)
        return Add(*(summand.xreplace({root: (first + z1 + second + z2 + sign * width) / 2}) for sign in (1, -1)))

    def _derivative(self, x: Symbol) -> Expr:
        """Return the derivative of the sum over the roots of a quadratic.

        Raises:
            DomainError: For more roots.
        """
        written = self.doit()
        return super()._derivative(x) if written == self else written.diff(x)

    def _sympystr(self, printer: Any) -> str:
        return f"Sum over {self.args[1]}[{printer.doprint(self.args[0])}]"

    def _tex(self, printer: Any) -> tuple[str, str]:
        return rf"\sum_{{{printer.doprint(self.args[1])}}} {printer.parenthesize(self.args[0], 40)}", ""


class SecularScalar(Opaque):
    """Base: a scalar that is printed by sums over secular roots, in names that its equations define."""

    @property
    def written(self) -> Expr:
        """What is printed."""
        raise NotImplementedError


def visible(e: Expr, kinds: type[Expr] | tuple[type[Expr], ...]) -> list[Any]:
    """Return the objects of some kinds in print, in order: those inside a scalar that prints otherwise are not."""
    found, walk = set(), preorder_traversal(e)
    for x in walk:
        if isinstance(x, kinds):
            found.add(x)
        if isinstance(x, SecularScalar):
            walk.skip()
    return sorted(found, key=lambda x: x.sort_key())


@dataclass(frozen=True)
class RankOneUpdate:
    """The operator on k values, with the name of its eigenvalues.

    Attributes:
        diagonal: ``D``.
        column: ``h``.
        row: ``g``.
        root: The bound symbol.
    """

    diagonal: Sequence[Expr]
    column: Sequence[Expr]
    row: Sequence[Expr]
    root: SecularRoot

    def measured(self, M: Sequence[Expr]) -> Expr:
        """Return the row times a vector."""
        return Add(*(g * x for g, x in zip(self.row, M, strict=True)))

    def image(self, M: Sequence[Expr]) -> list[Expr]:
        """Return the operator's image of a vector."""
        moved = self.measured(M)
        return [a * x + h * moved for a, h, x in zip(self.diagonal, self.column, M, strict=True)]

    @property
    def equation(self) -> Eq:
        """The equation of the eigenvalues."""
        return Eq(S.One, self._over(self.row, self.column), evaluate=False)

    def named(self, M: Sequence[Expr], run: str) -> tuple[RankOneUpdate, list[Expr], list[Eq]]:
        """Return the operator and a vector with names for their entries, and the definitions.

        Args:
            M: The vector.
            run: What goes before the number of the entry.
        """
        letters = {"D": self.diagonal, "h": self.column, "g": self.row, "M": M}
        names = {letter: [operator_entry(letter, f"{run}{j}") for j in range(1, len(M) + 1)] for letter in letters}
        definitions = [
            Eq(x, e, evaluate=False)
            for letter, entries in letters.items()
            for x, e in zip(names[letter], entries, strict=True)
        ]
        return RankOneUpdate(names["D"], names["h"], names["g"], self.root), names["M"], definitions

    def power(self, M: Sequence[Expr], n: Expr) -> list[Expr]:
        """Return the image under the n-th power."""
        e = self.root
        shares = (h / (e - a) for a, h in zip(self.diagonal, self.column, strict=True))
        return [self._sum(e**n * share * self._weight(M)) for share in shares]

    @staticmethod
    def gathered(weights: Sequence[Expr], M: Sequence[Expr]) -> Expr:
        """Return a weighted sum, of sums over the same roots as one."""
        if not all(isinstance(x, SecularSum) for x in M):
            return Add(*(w * x for w, x in zip(weights, M, strict=True)))
        whole = Add(*(w * x.args[0] for w, x in zip(weights, M, strict=True)))
        return SecularSum(factor_terms(whole), *M[0].args[1:])

    def measured_sum(self, M: Sequence[Expr], n: Expr) -> Expr:
        """Return the row times the sum of the powers below the n-th."""
        e = self.root
        return self._sum((1 - e**n) / (1 - e) * self._weight(M))

    def _sum(self, summand: Expr) -> Expr:
        poles = ((a, g * h) for a, g, h in zip(self.diagonal, self.row, self.column, strict=True))
        return SecularSum(summand, self.root, Tuple(*(Tuple(*pole) for pole in poles)))

    def _weight(self, M: Sequence[Expr]) -> Expr:
        return self._over(self.row, M) / self._over(self.row, self.column, 2)

    def _over(self, left: Sequence[Expr], right: Sequence[Expr], order: int = 1) -> Expr:
        e = self.root
        return Add(*(x * y / (e - a) ** order for a, x, y in zip(self.diagonal, left, right, strict=True)))
