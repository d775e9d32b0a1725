r"""The generation operators that a chain of fits refers to by name, written out below it."""

from __future__ import annotations

from sympy import Add, Expr, Mul, S, Symbol

from collapse_theory.algebra.effective import residual_degrees
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.algebra.naming import named, ridge_names
from collapse_theory.algebra.printing import matrix_function
from collapse_theory.algebra.secular import visible
from collapse_theory.derive.corrected import CorrectedScalar
from collapse_theory.derive.labeller_scalars import ChainScalar
from collapse_theory.derive.log_determinant import M, P, Q, moments
from collapse_theory.derive.log_determinant import r as residual
from collapse_theory.derive.operator import Generation, drift, response, shrinkage, spread
from collapse_theory.present.layout import broken
from collapse_theory.present.printer import TheoryLatexPrinter, to_latex
from collapse_theory.symbols import drift_name, eigenvalue, eigenvalue_of, indexed, response_name, seen_name
from collapse_theory.symbols import r as source_exponent

__all__ = ["corrected_lines", "operator_lines"]


def operator_lines(e: Expr) -> list[str]:
    """Return the definitions of the generation operators that an unexpanded chain refers to."""
    chains = visible(e, ChainScalar)
    if not chains:
        return []
    names = ridge_names(e)
    M = eigenvalue_of("M")
    lines: list[str] = []
    longest = max(chains, key=lambda x: len(x.args))
    for i, (stage, _) in enumerate(longest.runs, start=1):
        index = longest.index(i)
        answer = response_name(index)
        r = shrinkage(stage.kappa)
        image = r**2 * M + Add(*(c * h for c, h in spread([(S.One, M)], answer, stage)))
        answered = response(M, stage)
        lines.append(rf"A{index} &= {_matrix(named(r, names))}")
        if stage.m is not None:
            own = _named_drift(eigenvalue, drift_name(index, r"\Sigma"), stage)
            image = image.xreplace(own | _named_drift(M, drift_name(index, "M"), stage))
            seen = (answered * stage.residual).xreplace(own)
            lines.append(rf"\kappa'{index}[M] &= {to_latex(named(drift(M, stage), names))}")
            lines.append(rf"t{index}[M] &= {to_latex(named(seen, names))}")
            answered = seen_name(index, "M") / (stage.T - seen_name(index, r"\Sigma"))
        lines.append(rf"\mathcal{{G}}{index}[M] &= {_matrix(named(image, names))}")
        lines.append(rf"a'{index}[M] &= {to_latex(named(answered, names))}")
    return lines


def _named_drift(about: Expr, name: Symbol, stage: Generation) -> dict[Expr, Expr]:
    """Return what stands for the trace in a drift of a fit on features where the drift has a name."""
    (trace,) = drift(about, stage).atoms(SpectralTrace)
    return {trace: name * trace / drift(about, stage)}


def corrected_lines(e: Expr) -> list[str]:
    """Return the definitions of the operators of a chain with its first finite-size correction, and what they are."""
    chains = sorted(e.atoms(CorrectedScalar), key=lambda x: x.sort_key())
    if not chains:
        return []
    names = ridge_names(e)
    m, longest = moments(corrected=True), max(chains, key=lambda x: len(x.args))
    printer = TheoryLatexPrinter()
    (inverse,) = (x for x in Mul.make_args(m.noise) if x.is_Pow and x.base.is_Add)
    lines = [r"&\text{with the first finite-size correction, for } r > 1"]
    for i, (stage, _) in enumerate(longest.runs, start=1):
        index, digits = longest.index(i), "" if i == len(longest.runs) else longest.index(i).strip("_{}")
        kept, lost, answer, inner = (eigenvalue_of(f"{letter}{digits}") for letter in "PQNS")
        rows = source_exponent if not digits else indexed(source_exponent, int(digits))
        own = {P: kept, Q: lost, residual: rows}

        def at(f: Expr, own: dict[Expr, Expr] = own) -> Expr:
            traces = {t: SpectralTrace(t.integrand.xreplace(own)) for t in f.atoms(SpectralTrace)}
            return f.xreplace(traces).xreplace(own)

        image = [m.kept * M, *(out * SpectralTrace(seen * M) for out, seen in m.spread)]
        share = rf"{_matrix(kept)} &= {_matrix(named(shrinkage(stage.kappa), names))}"
        degrees = to_latex(named(residual_degrees(stage.T, stage.kappa), names))
        lines += [
            rf"{share},\quad {_matrix(lost)} = I - {_matrix(kept)},\quad {to_latex(rows)} = {degrees}",
            rf"A{index} &= {broken(at(m.mean), printer)}",
            rf"\mathcal{{G}}{index}[M] &= {broken(at(Add(*image)), printer)}",
            rf"a'{index}[M] &= {to_latex(SpectralTrace(answer * M))}",
            rf"{_matrix(answer)} &= {_matrix(at(m.noise).xreplace({at(inverse): 1 / inner}))}",
            rf"{_matrix(inner)} &= {broken(at(1 / inverse), printer)}",
        ]
    return lines


def _matrix(f: Expr) -> str:
    return matrix_function(f, TheoryLatexPrinter())
