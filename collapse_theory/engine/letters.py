r"""The letters of the engine: Gaussian matrices and covariances, as SymPy matrix symbols.

Everything else (sums, products, transposes, inverses, integer powers) is ordinary SymPy.

>>> from sympy import Identity
>>> from collapse_theory import symbols
>>> T, d, lam = symbols.T, symbols.d, symbols.lam
>>> Z, Sigma = GaussianMatrix("Z", T, d), Covariance("Sigma", d)
>>> X = Z * sqrt(Sigma)
>>> X.T * X
Sigma**(1/2)*Z.T*Z*Sigma**(1/2)
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, MatPow, MatrixExpr, MatrixSymbol, Rational, Tuple
from sympy.core.symbol import Str

from collapse_theory.algebra.printing import matrix_name
from collapse_theory.core.arguments import instance
from collapse_theory.core.errors import DomainError, NonCommutingError, shown
from collapse_theory.core.numbers import real
from collapse_theory.symbols import Eigenvalue, eigenvalue_of

__all__ = ["Covariance", "GaussianMatrix", "commuting", "sqrt"]


class GaussianMatrix(MatrixSymbol):
    """A ``T x d`` matrix with independent N(0, 1) entries; two of different names are independent.

    Args:
        name: What formulas call it; the same name and shape mean the same matrix.
        T: Number of rows, a positive integer or a symbol.
        d: Number of columns.

    >>> from collapse_theory import symbols
    >>> GaussianMatrix("Z", symbols.T, symbols.d).shape
    (T, d)
    """

    def __new__(cls, name: str | Str, T: Any, d: Any) -> GaussianMatrix:
        """Return the matrix; SymPy rebuilds it from ``args`` through the same call."""
        return super().__new__(cls, _name(name, "GaussianMatrix"), _dimension(T), _dimension(d))


class Covariance(MatrixSymbol):
    """A deterministic symmetric positive semi-definite ``d x d`` matrix.

    Two covariances of different names do not commute unless :func:`commuting` says so.

    Args:
        name: What formulas call it, and the key of its spectrum at evaluation.
        d: Its size.
        columns: Its size again, as SymPy passes it when it rebuilds the matrix; may be omitted.
        commuting_with: Names of the covariances that share its eigenvectors; set by :func:`commuting`.

    >>> from collapse_theory import symbols
    >>> Sigma = Covariance("Sigma", symbols.d)
    >>> Sigma.T == Sigma
    True
    """

    def __new__(cls, name: str | Str, d: Any, columns: Any = None, commuting_with: Any = ()) -> Covariance:
        """Return the matrix; SymPy rebuilds it from ``args`` through the same call."""
        size = _dimension(d)
        if columns is not None and _dimension(columns) != size:
            raise DomainError(f"Covariance needs a square shape, got {d} x {columns}; give its size once")
        checked = _name(name, "Covariance")
        obj = super().__new__(cls, checked, size, size)
        instance(commuting_with, list | tuple | Tuple, "commuting_with", "give names of covariances", DomainError)
        names = Tuple(*(_name(name, "commuting_with") for name in commuting_with)) or Tuple(checked)
        obj._args = (*obj.args[:3], names)
        return obj

    @property
    def commuting_with(self) -> tuple[str, ...]:
        """Names of the covariances that share its eigenvectors, itself included, sorted."""
        return tuple(name.name for name in self.args[3])

    @property
    def eigenvalue(self) -> Eigenvalue:
        """The bound symbol of its eigenvalue in spectral integrals."""
        return eigenvalue_of(self.name)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        del printer
        return matrix_name(self.eigenvalue) if exp is None else rf"{matrix_name(self.eigenvalue)}^{{{exp}}}"

    def _eval_transpose(self) -> Covariance:
        return self

    def _eval_adjoint(self) -> Covariance:
        return self

    def _eval_conjugate(self) -> Covariance:
        return self


def commuting(*covariances: Covariance) -> tuple[Covariance, ...]:
    """Return the covariances with common eigenvectors.

    Their spectra are then lists of equal length in that common eigenbasis. Use the returned matrices: the arguments
    stay as they were, and do not commute with them.

    Raises:
        NonCommutingError: If an argument is not a covariance, two have one name, or their sizes differ.

    >>> from collapse_theory import symbols
    >>> S1, S2 = commuting(Covariance("Sigma1", symbols.d), Covariance("Sigma2", symbols.d))
    >>> S1.commuting_with
    ('Sigma1', 'Sigma2')
    """
    for c in covariances:
        if not isinstance(c, Covariance):
            raise NonCommutingError(
                f"commuting needs covariances, got {shown(c)}; declare it with ct.Covariance(name, d)"
            )
    names = sorted(c.name for c in covariances)
    if len(set(names)) < len(names):
        raise NonCommutingError(f"commuting needs covariances of different names, got {names}; rename one")
    if len({c.shape for c in covariances}) > 1:
        shapes = [f"{c.name}: {c.rows} x {c.cols}" for c in covariances]
        raise NonCommutingError(f"commuting needs covariances of one size, got {shapes}; they act on one space")
    return tuple(Covariance(c.name, c.rows, c.cols, names) for c in covariances)


def sqrt(covariance: MatrixExpr) -> MatrixExpr:
    r"""Return the symmetric square root :math:`\Sigma^{1/2}` of a covariance.

    Raises:
        DomainError: If the argument is not a covariance.
    """
    if not isinstance(covariance, Covariance):
        raise DomainError(f"sqrt needs a ct.Covariance, got {shown(covariance)}; for a number use sympy.sqrt")
    return MatPow(covariance, Rational(1, 2))


def _name(name: Any, what: str) -> Str:
    text = name.name if isinstance(name, Str) else name
    if not isinstance(text, str) or not text.isidentifier():
        raise DomainError(f"{what} needs a name that is an identifier, got {shown(name)}; for example 'Sigma1'")
    return Str(text)


def _dimension(value: Any) -> Expr:
    return real(value, "a matrix dimension", positive=True, integer=True)
