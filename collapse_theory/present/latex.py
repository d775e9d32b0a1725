r"""LaTeX of a formula: what an author would paste.

Everything is printed from the derived expressions; the only strings here are names of terms and layout. Terms come in their
shortest forms (:mod:`.forms`), each name they use is defined below them, and each effective ridge is alone on the left of its
equation.
"""

from __future__ import annotations

from collections.abc import Mapping

from sympy import Add, Expr, S, Symbol
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.atomic_ridge import AtomicResidual, AtomicRidge
from collapse_theory.algebra.canonical import aspect_ratios
from collapse_theory.algebra.naming import brackets, implicit_equations, named, ridge_names
from collapse_theory.algebra.printing import matrix_function
from collapse_theory.algebra.secular import SecularScalar
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.labeller_scalars import ChainScalar, PooledScalar
from collapse_theory.derive.pooled import PooledSystem, pooled_system
from collapse_theory.derive.pooled_scalars import PipelineScalar, pipeline_scalars
from collapse_theory.derive.rounds import RoundTerm
from collapse_theory.derive.slopes import Slope
from collapse_theory.describe.literals import without_literals
from collapse_theory.engine.equivalent import DeterministicEquivalent
from collapse_theory.engine.guard import Existence
from collapse_theory.present.chain_lines import corrected_lines, operator_lines
from collapse_theory.present.definitions import as_written, definition_lines
from collapse_theory.present.differentiated import differentiated, undifferentiated, with_symbol
from collapse_theory.present.environments import enclosed
from collapse_theory.present.filter_lines import filter_lines
from collapse_theory.present.forms import Forms
from collapse_theory.present.glossary import where_lines, word_lines
from collapse_theory.present.layout import WIDTH, broken, packed
from collapse_theory.present.layout import width as width_of
from collapse_theory.present.macros import with_macros
from collapse_theory.present.notation import renamed
from collapse_theory.present.printer import TheoryLatexPrinter, derivative_of, to_latex, tokens
from collapse_theory.present.ridge_lines import ridge_lines, used
from collapse_theory.present.round_lines import round_lines
from collapse_theory.present.stated import stated
from collapse_theory.symbols import NOTATION

__all__ = ["TheoryLatexPrinter", "equivalent_latex", "formula_latex", "term_names", "to_latex"]

_TERMS = {
    "bias": ("B", "bias"),
    "variance": ("V", "variance"),
    "synthetic_bias": (r"B_{\mathrm{syn}}", "bias from synthetic labels"),
    "synthetic_variance": (r"V_{\mathrm{syn}}", "variance from synthetic labels"),
    "distillation": (r"E_{\mathrm{dist}}", "what distillation changes"),
}
_LONG = 600  # signs from which a chain of fits is printed as the recursion over its fits


def term_names(formula: ErrorFormula) -> dict[str, tuple[str, str]]:
    """Return the symbol and the words of each term that is not zero."""
    return {
        name: _TERMS.get(name, (rf"E_{{\mathrm{{{name.replace('_', '')}}}}}", name.replace("_", " ")))
        for name, e in formula.parts.items()
        if e != 0
    }


def formula_latex(
    formula: ErrorFormula,
    *,
    notation: Mapping[str, str] | None = None,
    definitions: bool = False,
    width: float | None = None,
    environment: str = "aligned",
    underbrace: bool = False,
    macros: bool = False,
) -> str:
    """Return the sum, each term, the operator and the implicit scalars, and the conditions.

    Args:
        formula: The formula.
        notation: A LaTeX name by the name of a symbol.
        definitions: Whether what the symbols mean is said below.
        width: Characters of a line; None fits a page.
        environment: "aligned", "align", "align*", "equation" or "theorem".
        underbrace: Whether each term says what it is below a brace.
        macros: Whether operators are written by the commands of :mod:`.macros`.
    """
    lines = _lines(formula, WIDTH if width is None else width, underbrace, beside=not definitions)
    conditions = stated(_shown_conditions(formula))
    body = "\n".join(lines)
    said = [
        (symbol, words)
        for symbol, words in term_names(formula).values()
        if f"\n{symbol} &= " in body and " && " not in body
    ]
    notes = where_lines(body, formula, said) if definitions else []
    text = enclosed(lines, conditions, notes, formula, environment)
    text = renamed(text, notation, _printed_names(formula)) if notation else text
    return with_macros(text) if macros else text


def _printed_names(formula: ErrorFormula) -> dict[str, str]:
    return {x.name: to_latex(x) for x in (*NOTATION.values(), *formula.free_symbols)}


# ---------------------------------------------------------------- the lines
def _lines(formula: ErrorFormula, most: float, underbrace: bool, beside: bool = True) -> list[str]:
    """Return the lines of a formula, the words for its terms beside them or not at all."""
    if any(x.rounds.is_number for e in formula.parts.values() for x in e.atoms(RoundTerm)):
        return _lines(formula.doit(), most, underbrace, beside)
    printer = TheoryLatexPrinter(decimals=bool(formula.numbers))
    error = undifferentiated(formula)
    if error is not None and error.expr.has(ChainScalar):
        first, *rest = _lines(error, most, underbrace=False, beside=beside)
        return [differentiated(first, formula.derivative, printer), *rest]
    system = _whole_system(formula)
    if system is not None:
        return definition_lines(system, formula.numbers, printer, most, *formula.derivative)
    by_rounds = round_lines(formula, term_names(formula), printer)
    if by_rounds is not None:
        return _with_braces(by_rounds, formula, most) if underbrace else by_rounds
    if formula.expr.has(AtomicRidge, AtomicResidual, SecularScalar):
        closed = _closed_lines(formula)
        return _with_braces(closed, formula, most) if underbrace else closed
    long = formula.method == "operator" and tokens(to_latex(formula.expr)) > _LONG
    described = _described_system(formula) if long else None
    if described is not None:
        return definition_lines(*described, printer, most)
    return _term_lines(formula, most, underbrace, beside)


def _whole_system(formula: ErrorFormula) -> PooledSystem | None:
    """Return the system of fits whose whole test error a formula is, or its derivative, if it is one of several fits."""
    whole = Add(*formula.parts.values())
    slopes = whole.atoms(Slope)
    for x in {y.scalar for y in slopes} or whole.atoms(PipelineScalar, PooledScalar):
        if isinstance(x, PipelineScalar | PooledScalar) and (slopes or len(x.system.fits) > 1):
            both = pipeline_scalars(x.system) if isinstance(x, PipelineScalar) else x.both
            if whole == Add(*(map(Slope, both) if slopes else both)):
                return x.system
    return None


def _described_system(formula: ErrorFormula) -> tuple[PooledSystem, Mapping[Symbol, Expr]] | None:
    """Return the system of fits of the pipeline that a formula describes, and the numbers in it."""
    if formula.pipeline is None or formula.model is None or formula.bindings:
        return None
    copy, fit, numbers = without_literals(formula.pipeline(), formula.model)
    if any(f.filter is not None for f in copy.ancestors(fit)):
        return None
    return pooled_system(copy, fit, measured=formula.measured), numbers


def _term_lines(formula: ErrorFormula, most: float, underbrace: bool, beside: bool) -> list[str]:
    """Return the lines of the terms in their shortest forms, and of what they refer to."""
    given = {x: as_written(value) for x, value in formula.numbers.items()}
    whole = Add(*formula.parts.values())
    shown = {k: with_symbol(_fit_alone(e), formula.derivative) for k, e in formula.parts.items() if e != 0}
    names = {x.xreplace(given): name for x, name in ridge_names(Add(*shown.values())).items()}
    parts = {k: e.xreplace(given) for k, e in shown.items()}
    printer = TheoryLatexPrinter(decimals=bool(given))
    words = term_names(formula)
    conditions = [c.xreplace(given) for c in formula.conditions]
    forms = Forms(
        conditions,
        printer,
        taken={to_latex(x) for e in parts.values() for x in e.free_symbols},
        ridges=names,
    )
    single = len(parts) == 1
    terms = forms.presented(
        {k: named(e, names) for k, e in parts.items()}, {} if single else {k: words[k][0] for k in parts}
    )
    terms = forms.narrowed(
        terms, lambda e: all(width_of(row) <= most for row in broken(e, printer, most).split("\\\\"))
    )
    heads = _heads(formula, [words[k][0] for k in parts])
    terms = forms.settled(terms, {} if single else {k: words[k][0] for k in parts})
    lines = _sum_line(formula, heads, single)
    bodies = [broken(e, printer, most - width_of(head)) for head, e in zip(heads[1:], terms.values(), strict=True)]
    explained = [words[k][1] for k in parts]
    below = [f"{printer.doprint(x)} &= {broken(e, printer, most)}" for x, e in _from_above(forms.definitions)]
    printed = Add(*parts.values())
    below += [*operator_lines(printed), *corrected_lines(printed), *filter_lines(printed, printer)]
    lines_of = [*terms.values(), *forms.definitions.values()]
    below += ridge_lines(names, used([*lines_of, printed], names), conditions, printer)
    others = implicit_equations(with_symbol(whole, formula.derivative), formula.conditions)[len(names) :]
    below += [f"{printer.doprint(eq.lhs)} &= {printer.doprint(eq.rhs.xreplace(given))}" for eq in others]
    below = packed(below, most)
    if underbrace and not single:
        return [*lines[:-1], *_underbraced(heads, bodies, explained, most), *below]
    own = heads[:1] if single else heads[1:]
    if not beside:
        return lines + [f"{head} &= {body}" for head, body in zip(own, bodies, strict=True)] + below
    return lines + _beside_words(own, bodies, explained, below, most) + below


def _fit_alone(e: Expr) -> Expr:
    """Return an expression with what a lone fit is written out."""
    return e.xreplace({x: x.doit() for x in e.atoms(PipelineScalar) if len(x.system.fits) == 1})


def _underbraced(heads: list[str], bodies: list[str], words: list[str], most: float) -> list[str]:
    """Return the sum with each term in a brace that says what it is; terms wider than a row by their names, then their lines."""
    rows = any("\\\\" in x or width_of(f"{heads[0]} = {x}") > most for x in bodies)
    shown = [
        rf"\underbrace{{{x}}}_{{\text{{{said}}}}}" for x, said in zip(heads[1:] if rows else bodies, words, strict=True)
    ]
    out = [f"{heads[0]} &= {shown[0]}"]
    for x in shown[1:]:
        joined = f"{out[-1]} + {x}"
        out = [*out[:-1], joined] if width_of(joined) <= most else [*out, rf"&\qquad + {x}"]
    return [" \\\\\n".join(out), *(f"{a} &= {b}" for a, b in zip(heads[1:], bodies, strict=True) if rows)]


def _with_braces(lines: list[str], formula: ErrorFormula, most: float) -> list[str]:
    """Return lines whose first is the sum of the terms by their names, with the words below braces there."""
    symbols, words = zip(*term_names(formula).values(), strict=True)
    heads = _heads(formula, list(symbols))
    if lines[0] != f"{heads[0]} &= {' + '.join(heads[1:])}":
        return lines
    (first,) = _underbraced(heads, heads[1:], list(words), most)
    return [first, *(x.partition(" && ")[0] if x.endswith("}") and r"&& \text{(" in x else x for x in lines[1:])]


def _from_above(definitions: Mapping[Symbol, Expr]) -> list[tuple[Symbol, Expr]]:
    """Return definitions in an order in which each is used above."""
    rest, out = dict(definitions), []
    while rest:
        x = next(x for x in rest if not any(x in e.free_symbols for y, e in rest.items() if y != x))
        out.append((x, rest.pop(x)))
    return out


def _closed_lines(formula: ErrorFormula) -> list[str]:
    """Return the lines of a closed form on a few eigenvalues, which is canonical already."""
    printed = formula.expr
    names, ratios = ridge_names(printed), aspect_ratios(printed)
    words = term_names(formula)
    heads = _heads(formula, [symbol for symbol, _ in words.values()])
    single = len(words) == 1
    lines = _sum_line(formula, heads, single)
    bodies = [to_latex(named(formula.terms[k], names, ratios)) for k in words]
    lines += _beside_words(heads[:1] if single else heads[1:], bodies, [text for _, text in words.values()], [])
    lines += operator_lines(printed)
    lines += [rf"{to_latex(eq.lhs)} &= {to_latex(eq.rhs)}" for eq in formula.implicit]
    lines += [
        rf"{to_latex(low)} &\le {to_latex(x)} \le {to_latex(high)}{_largest(low)}" for low, x, high in brackets(names)
    ]
    return lines


def _heads(formula: ErrorFormula, terms: list[str]) -> list[str]:
    r"""Return the left-hand sides: of the sum, and of the terms; those of a derivative are :math:`\partial E/\partial x`."""
    if not formula.derivative:
        return ["E", *terms]
    before = "".join(rf"\partial_{{{to_latex(x)}}}" for x in formula.derivative)
    whole = derivative_of("E", formula.derivative, TheoryLatexPrinter())
    return [whole, *(f"{before} {x}" for x in terms)]


def _sum_line(formula: ErrorFormula, heads: list[str], single: bool) -> list[str]:
    quantity = getattr(formula.family, "symbol", "E")
    bound = [] if quantity == "E" else [rf"{quantity} &{_RELATION.get(formula.regime, '=')} E"]
    if len(heads) == 1:
        return [*bound, f"{heads[0]} &= 0"]
    return bound if single else [*bound, f"{heads[0]} &= {' + '.join(heads[1:])}"]


_RELATION = {"upper bound": r"\leq", "lower bound": r"\geq"}


def _beside_words(
    heads: list[str], bodies: list[str], words: list[str], below: list[str], most: float = WIDTH
) -> list[str]:
    """Return a line per term, with its name in words beside it, or below all where the page is too narrow for that."""
    lines = [f"{head} &= {body}" for head, body in zip(heads, bodies, strict=True)]
    if len(lines) <= 1:
        return lines
    rows = [row for line in [*lines, *below] for row in line.split("\\\\")]
    if max(map(width_of, rows)) + max(map(len, words)) + 4 <= most:
        return [rf"{line} && \text{{({text})}}" for line, text in zip(lines, words, strict=True)]
    return [*lines, *word_lines(rf"{head}\text{{: {text}}}" for head, text in zip(heads, words, strict=True))]


def _largest(low: Expr) -> str:
    """Return which root is meant: without a ridge zero is one too."""
    return r"\text{, the largest root}" if low.is_zero else ""


# ---------------------------------------------------------------- other statements
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


def _shown_conditions(formula: ErrorFormula) -> list[Boolean]:
    numbers = {x: as_written(value) for x, value in formula.numbers.items()}
    shown = (c.xreplace(numbers) for c in formula.conditions)
    return [c for c in dict.fromkeys(shown) if c is not S.true]
