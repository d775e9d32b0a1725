r"""LaTeX of a formula: what an author would paste.

Everything is printed from the derived expressions; the only strings here are names of terms and layout.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from sympy import Add, Expr, S, Symbol
from sympy.logic.boolalg import Boolean
from sympy.printing.latex import LatexPrinter

from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge
from collapse_theory.algebra.canonical import aspect_ratios
from collapse_theory.algebra.effective import residual_degrees
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.algebra.naming import brackets, named, ridge_names
from collapse_theory.algebra.printing import matrix_function
from collapse_theory.algebra.secular import SecularScalar, visible
from collapse_theory.derive.corrected import CorrectedScalar
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller_scalars import ChainScalar
from collapse_theory.derive.log_determinant import M, P, Q, moments
from collapse_theory.derive.log_determinant import r as residual
from collapse_theory.derive.operator import Generation, response, shrinkage
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.derive.pooled_scalars import PipelineScalar, pipeline_scalars
from collapse_theory.derive.rounds import RoundTerm
from collapse_theory.engine.equivalent import DeterministicEquivalent
from collapse_theory.engine.guard import Existence
from collapse_theory.present.definitions import definition_lines
from collapse_theory.present.round_lines import round_lines
from collapse_theory.symbols import LATEX, eigenvalue, eigenvalue_of, indexed, response_name
from collapse_theory.symbols import r as source_exponent

__all__ = ["TheoryLatexPrinter", "condition_latex", "equivalent_latex", "formula_latex", "term_names", "to_latex"]

_TERMS = {
    "bias": ("B", "bias"),
    "variance": ("V", "variance"),
    "synthetic_bias": (r"B_{\mathrm{syn}}", "bias from synthetic labels"),
    "synthetic_variance": (r"V_{\mathrm{syn}}", "variance from synthetic labels"),
}


class TheoryLatexPrinter(LatexPrinter):
    """SymPy's LaTeX printer with the symbols of the theory.

    Args:
        positive_first: Whether a sum begins with a term that has no minus sign, if there is one.
    """

    def __init__(self, *, positive_first: bool = False) -> None:
        self.positive_first = positive_first
        super().__init__({
            "symbol_names": {}, "full_prec": False, "fold_short_frac": False, "mul_symbol": None, "ln_notation": False,
        })  # fmt: skip

    def _print_harmonic(self, expr: Expr, exp: str | None = None) -> str:
        n, *order = (self._print(a) for a in expr.args)
        head = rf"H_{{{n}}}" + (f"^{{({order[0]})}}" if order else "")
        return head if exp is None else rf"\left({head}\right)^{{{exp}}}"

    def _print_Add(self, expr: Expr, order: Any = None) -> str:
        if not self.positive_first:
            return str(super()._print_Add(expr, order=order))
        terms = self._as_ordered_terms(expr, order=order)
        if not terms[0].could_extract_minus_sign() or all(x.could_extract_minus_sign() for x in terms):
            return str(super()._print_Add(expr, order=order))
        first = next(x for x in terms if not x.could_extract_minus_sign())
        terms.remove(first)
        out = self._print(first)
        for x in terms:
            sign, term = ("-", -x) if x.could_extract_minus_sign() else ("+", x)
            body = self._print(term)
            out += f" {sign} {self._add_parens(body) if self._needs_add_brackets(term) else body}"
        return out

    def _print_Symbol(self, expr: Symbol, style: str = "plain") -> str:
        if expr.name.startswith("a'"):  # the response, already LaTeX
            return str(expr.name)
        return LATEX.get(expr.name) or str(super()._print_Symbol(expr, style))


def to_latex(e: Any, *, positive_first: bool = False) -> str:
    r"""Return the LaTeX of an expression with the symbols of the theory.

    Args:
        e: The expression.
        positive_first: As in :class:`TheoryLatexPrinter`.

    >>> from collapse_theory.symbols import lam, sigma0
    >>> to_latex(lam * sigma0**2)
    '\\lambda \\sigma_{0}^{2}'
    """
    return str(TheoryLatexPrinter(positive_first=positive_first).doprint(e))


def term_names(formula: ErrorFormula) -> dict[str, tuple[str, str]]:
    """Return the symbol and the words of each term that is not zero."""
    return {
        name: _TERMS.get(name, (rf"E_{{\text{{{name.replace('_', ' ')}}}}}", name.replace("_", " ")))
        for name, e in formula.parts.items()
        if e != 0
    }


def formula_latex(formula: ErrorFormula) -> str:
    """Return an ``aligned`` block: the sum, each term, the operator and the implicit scalars, and the conditions."""
    if any(x.rounds.is_number for e in formula.parts.values() for x in e.atoms(RoundTerm)):
        return formula_latex(formula.doit())
    printed = formula.expr
    system = _whole_system(formula)
    if system is not None:
        return _aligned(definition_lines(system, formula.numbers, TheoryLatexPrinter()), formula)
    terms = term_names(formula)
    by_rounds = round_lines(formula, terms, TheoryLatexPrinter())
    if by_rounds is not None:
        return _aligned(by_rounds, formula)
    names, ratios = ridge_names(printed), aspect_ratios(printed)
    shown = partial(to_latex, positive_first=printed.has(AtomicRidge, AtomicResidual, SecularScalar))
    lines = [rf"E &= {' + '.join(symbol for symbol, _ in terms.values())}"] if len(terms) != 1 else []
    for name, (symbol, words) in terms.items():
        head = "E" if len(terms) == 1 else symbol
        lines.append(rf"{head} &= {shown(named(formula.terms[name], names, ratios))} && \text{{({words})}}")
    lines += _operator_lines(printed)
    lines += _corrected_lines(printed)
    lines += [rf"{shown(eq.lhs)} &= {shown(eq.rhs)}" for eq in formula.implicit]
    lines += [rf"{shown(low)} &\le {shown(x)} \le {shown(high)}{_largest(low)}" for low, x, high in brackets(names)]
    return _aligned(lines, formula)


def _aligned(lines: list[str], formula: ErrorFormula) -> str:
    conditions = [c for c in map(condition_latex, _shown_conditions(formula)) if c]
    if conditions:
        lines = [*lines, r"&\text{for } " + r",\ ".join(conditions)]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _whole_system(formula: ErrorFormula) -> PooledSystem | None:
    """Return the system of fits whose whole test error a formula is, if it is one of several fits."""
    whole = Add(*formula.parts.values())
    for x in whole.atoms(PipelineScalar):
        system = x.system
        if len(system.fits) > 1 and whole == Add(*pipeline_scalars(system)):
            return system
    return None


def _largest(low: Expr) -> str:
    """Return which root is meant: without a ridge zero is one too."""
    return r"\text{, the largest root}" if low.is_zero else ""


def equivalent_latex(equivalent: DeterministicEquivalent) -> str:
    r"""Return the statement :math:`E\simeq g(\Sigma)` and the equations of its scalars."""
    conditions = equivalent.expr.atoms(Existence)
    shown = equivalent.expr.xreplace(dict.fromkeys(conditions, S.One))
    body = matrix_function(named(shown, ridge_names(shown)), TheoryLatexPrinter())
    lines = [rf"{to_latex(equivalent.expression)} &\simeq {body}"]
    lines += [rf"{to_latex(eq.lhs)} &= {to_latex(eq.rhs)}" for eq in equivalent.equations]
    if conditions:
        lines.append(r"\rho\big(X \mapsto G\,\eta_{Q,Q^\top}(X)\,G^\top\big) &< 1")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def condition_latex(condition: Boolean) -> str:
    """Return the LaTeX of one condition."""
    return to_latex(condition)


def _shown_conditions(formula: ErrorFormula) -> list[Boolean]:
    shown = (c.xreplace(dict(formula.numbers)) for c in formula.conditions)
    return [c for c in dict.fromkeys(shown) if c is not S.true]


def _operator_lines(e: Expr) -> list[str]:
    """Return the definitions of the generation operators that an unexpanded chain refers to."""
    chains = visible(e, ChainScalar)
    if not chains:
        return []
    names = ridge_names(e)
    M = eigenvalue_of("M")
    lines: list[str] = []
    longest = max(chains, key=lambda x: len(x.stages))
    stages = longest.stages
    for i, (T, lam, sigma, _) in enumerate(stages, start=1):
        index = longest.index(i)
        stage = Generation(T, lam, sigma)
        answer = response_name(index)
        r = shrinkage(stage.kappa)
        image = r**2 * M + stage.kappa**2 * answer * r**2 / eigenvalue
        lines.append(rf"A{index} &= {_matrix(named(r, names))}")
        lines.append(rf"\mathcal{{G}}{index}[M] &= {_matrix(named(image, names))}")
        lines.append(rf"a'{index}[M] &= {to_latex(named(response(M, stage), names))}")
    return lines


def _corrected_lines(e: Expr) -> list[str]:
    """Return the definitions of the operators of a chain with its first finite-size correction, and what they are."""
    chains = sorted(e.atoms(CorrectedScalar), key=lambda x: x.sort_key())
    if not chains:
        return []
    names = ridge_names(e)
    m, longest = moments(corrected=True), max(chains, key=lambda x: len(x.stages))
    lines = [r"&\text{with the first finite-size correction, for } r > 1"]
    for i, (T, lam, *_) in enumerate(longest.stages, start=1):
        index, digits = longest.index(i), "" if i == len(longest.stages) else longest.index(i).strip("_{}")
        kept, lost = eigenvalue_of(f"P{digits}"), eigenvalue_of(f"Q{digits}")
        rows = source_exponent if not digits else indexed(source_exponent, int(digits))
        own = {P: kept, Q: lost, residual: rows}

        def at(f: Expr, own: dict[Expr, Expr] = own) -> Expr:
            traces = {t: SpectralTrace(t.integrand.xreplace(own)) for t in f.atoms(SpectralTrace)}
            return f.xreplace(traces).xreplace(own)

        stage = Generation(T, lam, S.Zero)
        image = [m.kept * M, *(out * SpectralTrace(seen * M) for out, seen in m.spread)]
        share = rf"{_matrix(kept)} &= {_matrix(named(shrinkage(stage.kappa), names))}"
        degrees = to_latex(named(residual_degrees(T, stage.kappa), names))
        lines += [
            rf"{share},\quad {_matrix(lost)} = I - {_matrix(kept)},\quad {to_latex(rows)} = {degrees}",
            rf"A{index} &= {_matrix(at(m.mean))}",
            rf"\mathcal{{G}}{index}[M] &= {' + '.join(_matrix(at(x)) for x in image).replace('+ -', '-')}",
            rf"a'{index}[M] &= {to_latex(SpectralTrace(at(m.noise) * M))}",
        ]
    return lines


def _matrix(f: Expr) -> str:
    return matrix_function(f, TheoryLatexPrinter())
