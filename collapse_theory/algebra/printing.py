r"""LaTeX of functions of the covariance: eigenvalues become matrices, :math:`s\to\Sigma`, :math:`s+\kappa\to\Sigma+\kappa I`."""

from __future__ import annotations

from typing import Any

from sympy import Add, Expr, Mul, S, factor

from collapse_theory.symbols import Eigenvalue

__all__ = ["matrix_function", "matrix_name"]


def matrix_name(s: Eigenvalue) -> str:
    r"""Return the matrix an eigenvalue belongs to: ``Sigma1`` becomes :math:`\Sigma_{1}`."""
    stem = s.name.rstrip("0123456789")
    index = s.name[len(stem) :]
    head = {"Sigma": r"\Sigma", "Delta": r"\Delta", "Gamma": r"\Gamma", "Lambda": r"\Lambda"}.get(stem, stem)
    return head + (f"_{{{index}}}" if index else "")


def matrix_function(f: Expr, printer: Any) -> str:
    r"""Return the LaTeX of ``f(Sigma)`` for a scalar expression ``f`` in bound eigenvalues.

    Args:
        f: The integrand.
        printer: A SymPy LaTeX printer, for the scalars in it.

    >>> from sympy.printing.latex import LatexPrinter
    >>> from collapse_theory.symbols import eigenvalue as s, kappa
    >>> matrix_function(s * (s + kappa) ** -2, LatexPrinter())
    '\\Sigma \\left(\\Sigma + \\kappa I\\right)^{-2}'
    """
    if not _has_eigenvalue(f):
        return "I" if f == 1 else rf"{printer.parenthesize(f, 50, strict=True)} I"
    if isinstance(f, Eigenvalue):
        return matrix_name(f)
    if isinstance(f, Add):
        return _sum(f, printer)
    if isinstance(f, Mul):
        scalar = [a for a in f.args if not _has_eigenvalue(a)]
        matrices = sorted((a for a in f.args if _has_eigenvalue(a)), key=_reading_order)
        if Mul(*scalar) == -1:
            return "-" + matrix_function(-f, printer)
        parts = [printer.parenthesize(Mul(*scalar), 50, strict=True)] if scalar and Mul(*scalar) != 1 else []
        return " ".join(parts + [_factor(a, printer) for a in matrices])
    return _factor(f, printer)


def _reading_order(a: Expr) -> tuple[int, str]:
    base, exponent = a.as_base_exp()
    return (0 if isinstance(base, Eigenvalue) else 1 if not exponent.could_extract_minus_sign() else 2, str(a))


def _sum(f: Expr, printer: Any) -> str:
    scalars = Add(*(a for a in f.args if not _has_eigenvalue(a)))
    terms = sorted((a for a in f.args if _has_eigenvalue(a)), key=str, reverse=True)
    multiples = [scalars] if scalars != 0 else []
    first = all(a.could_extract_minus_sign() for a in terms) and not scalars.could_extract_minus_sign()
    out = ""
    for a in [*multiples, *terms] if first else [*terms, *multiples]:
        negative = a.could_extract_minus_sign()
        body = matrix_function(-a if negative else a, printer)
        out += (" - " if negative else " + ") + body if out else ("-" if negative else "") + body
    return out


def _factor(f: Expr, printer: Any) -> str:
    base, exponent = f.as_base_exp()
    if isinstance(base, Add) and exponent.is_even:
        base = _square_root(base)
    body = matrix_function(base, printer) if base != f or not f.is_Function else rf"{printer.doprint(f)}"
    if isinstance(base, Add):
        body = rf"\left({body}\right)"
    return body if exponent == 1 else rf"{body}^{{{printer.doprint(exponent)}}}"


def _square_root(f: Add) -> Expr:
    """Return ``f`` or ``-f``, whichever has fewer minus signs, each matrix once: an even power does not tell them apart."""
    negative = sum(a.could_extract_minus_sign() for a in f.args)
    coefficients: dict[Expr, Expr] = {}
    for a in f.args if 2 * negative <= len(f.args) else [-a for a in f.args]:
        c, matrix = a.as_independent(*f.atoms(Eigenvalue), as_Add=False)
        coefficients[matrix] = coefficients.get(matrix, S.Zero) + c
    return Add(*(_without_minus(factor(c)) * matrix for matrix, c in coefficients.items()))


def _without_minus(c: Expr) -> Expr:
    """Return a product with its minus sign in a sum of it, if it has one: :math:`-p(q-1)` is :math:`p(1-q)`."""
    sums = [a for a in c.args if a.is_Add] if c.is_Mul and c.args[0].is_negative else []
    return Mul(-1, *(-a if a is sums[0] else a for a in c.args)) if sums else c


def _has_eigenvalue(f: Expr) -> bool:
    return any(isinstance(x, Eigenvalue) for x in f.free_symbols)
