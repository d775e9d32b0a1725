"""The matrix language of the engine: what an expression may consist of, and which sub-expression does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from sympy import (
    Basic,
    Expr,
    Identity,
    Integer,
    MatAdd,
    MatMul,
    MatPow,
    MatrixExpr,
    MatrixSymbol,
    Transpose,
    ZeroMatrix,
)
from sympy.matrices.expressions.inverse import Inverse
from sympy.matrices.expressions.special import GenericIdentity

from collapse_theory.core.errors import DomainError, NonCommutingError, shown
from collapse_theory.engine.letters import Covariance, GaussianMatrix

__all__ = ["checked", "subexpressions"]


def subexpressions(e: Basic) -> Iterator[Basic]:
    """Yield every distinct sub-expression once, outer ones first: a graph is not to be walked as a tree."""
    seen: set[Basic] = set()
    todo = [e]
    while todo:
        x = todo.pop()
        if x not in seen:
            seen.add(x)
            yield x
            todo += reversed(x.args)


def checked(expression: Any) -> dict[Expr, tuple[str, ...]]:
    """Check every sub-expression and return the names of the covariances acting on each dimension.

    Raises:
        DomainError: If shapes do not fit or something is outside the language.
        NonCommutingError: If covariances that are not declared commuting act on one space.
    """
    if not isinstance(expression, MatrixExpr):
        raise _bad(
            "a matrix expression",
            f"{shown(expression)} of type {type(expression).__name__}",
            "build it from ct.GaussianMatrix, ct.Covariance and Identity",
        )
    letters: dict[str, MatrixSymbol] = {}
    for e in subexpressions(expression):
        if isinstance(e, MatrixSymbol):
            _check_letter(e, letters)
        elif isinstance(e, MatrixExpr):
            _check_node(e)
        elif isinstance(e, Expr) and any(isinstance(a, MatrixExpr) for a in e.args):
            raise _bad("scalars without matrices", e, "name the scalar by a symbol")
    if expression.rows != expression.cols:
        raise _bad("a square matrix", f"{expression} of shape {_shape(expression)}", "multiply it to a square one")
    return _acting([e for e in letters.values() if isinstance(e, Covariance)], expression)


def _acting(covariances: list[Covariance], expression: MatrixExpr) -> dict[Expr, tuple[str, ...]]:
    first: dict[Expr, Covariance] = {}
    for e in covariances:
        if first.setdefault(e.rows, e).commuting_with != e.commuting_with:
            raise NonCommutingError(
                "deterministic_equivalent needs the covariances of one space to commute, "
                f"got {first[e.rows].name} and {e.name} in {expression}; "
                "declare ct.commuting(...) if they share eigenvectors (no theory here covers them if not)"
            )
    return {p: tuple(sorted(e.name for e in covariances if e.rows == p)) for p in first}


def _check_letter(e: MatrixSymbol, letters: dict[str, MatrixSymbol]) -> None:
    if not isinstance(e, (GaussianMatrix, Covariance)):
        raise _bad(
            f"to know what {e.name} is", "a plain MatrixSymbol", "declare it with ct.GaussianMatrix or ct.Covariance"
        )
    other = letters.setdefault(e.name, e)
    if other != e:
        raise _bad("one meaning per name", f"{shown(e.name)} as {_describe(other)} and as {_describe(e)}", "rename one")


def _describe(e: MatrixSymbol) -> str:
    if isinstance(e, Covariance):
        return f"a covariance {_shape(e)} that commutes with {', '.join(e.commuting_with)}"
    return f"a Gaussian matrix {_shape(e)}"


def _check_node(e: MatrixExpr) -> None:
    if isinstance(e, (Transpose, Identity, ZeroMatrix)) and not isinstance(e, GenericIdentity):
        return
    if isinstance(e, MatAdd):
        if len({a.shape for a in e.args}) > 1:
            raise _bad(
                "the terms of a sum to have one shape",
                f"{', '.join(map(_shape, e.args))} in {e}",
                "check the dimensions",
            )
    elif isinstance(e, MatMul):
        for a, b in pairwise(a for a in e.args if isinstance(a, MatrixExpr)):
            if a.cols != b.rows:
                raise _bad(
                    f"the columns of {a} to match the rows of {b}",
                    f"{a.cols} and {b.rows} in {e}",
                    "check the dimensions",
                )
    elif isinstance(e, (Inverse, MatPow)):
        _check_power(e)
    else:
        raise _bad(
            "sums, products, transposes, inverses and integer powers",
            f"{e} of type {type(e).__name__}",
            "other functions of random matrices are outside the theory",
        )


def _check_power(e: Inverse | MatPow) -> None:
    base, exponent = (e.arg, Integer(-1)) if isinstance(e, Inverse) else (e.base, e.exp)
    if base.rows != base.cols:
        what = "an inverse" if exponent == -1 else f"the power {exponent}"
        raise _bad(
            f"a square matrix under {what}",
            f"{base} of shape {_shape(base)}",
            "unequal sizes cannot be multiplied this way",
        )
    random = any(isinstance(x, GaussianMatrix) for x in subexpressions(base))
    if not exponent.is_Integer and (random or not exponent.is_Rational):
        raise _bad("integer powers of random matrices", e, "roots are not rational")


def _shape(e: MatrixExpr) -> str:
    return f"{e.rows} x {e.cols}"


def _bad(want: str, got: Any, remedy: str) -> DomainError:
    return DomainError(f"deterministic_equivalent needs {want}, got {got}; {remedy}")
