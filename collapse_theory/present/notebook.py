r"""How results show themselves in a notebook: a heading, formulas that MathJax sets, and tables.

One function, :func:`html`, knows what each class of results shows. All text is escaped, tables are never wider than the page of a
phone (they scroll), and nothing is computed that the object does not hold, beyond the formula of a theorem.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import singledispatch
from html import escape
from typing import Any

import numpy as np
from sympy import Expr, latex

from collapse_theory.check.claim_verdict import ClaimCheck
from collapse_theory.check.diagnosis import THRESHOLDS, Diagnosis
from collapse_theory.check.verdict import Validation
from collapse_theory.derive.rates import Rates
from collapse_theory.present.bibliography import BIBLIOGRAPHY
from collapse_theory.simulate.trials import Simulation
from collapse_theory.study.break_even import BreakEven
from collapse_theory.study.exponents_fit import Exponents
from collapse_theory.study.inverse import Inference
from collapse_theory.study.law_fit import LawFit
from collapse_theory.study.optimum import Optimum
from collapse_theory.symbols import LATEX, NOTATION
from collapse_theory.theorems.catalog import Catalog
from collapse_theory.theorems.theorem import Theorem

__all__ = ["html", "table"]

_ROWS = 12  # of a long array that are shown


@singledispatch
def html(x: Any) -> str:
    """Return an object as HTML for a notebook.

    >>> import collapse_theory as ct
    >>> html(ct.catalog["ols-replace"]).splitlines()[0]
    '<h4>Replace: n least-squares generators, least squares downstream</h4>'
    """
    return f"<pre>{escape(str(x))}</pre>"


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return an HTML table: numbers to six digits, everything else as text.

    >>> table(["n", "error"], [(1, 0.25)]).splitlines()[-2]
    '<tr><td>1</td><td>0.25</td></tr>'
    """
    names = list(head)
    lines = [f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in names)}</tr>"] if any(names) else []
    lines += [f"<tr>{''.join(f'<td>{escape(_cell(x))}</td>' for x in row)}</tr>" for row in rows]
    return "\n".join(['<div style="overflow-x:auto"><table>', *lines, "</table></div>"])


def _cell(x: Any) -> str:
    return f"{x:.6g}" if isinstance(x, float) else str(x)


def _page(title: str, *parts: str) -> str:
    return "\n".join([f"<h4>{escape(title)}</h4>", *(part for part in parts if part)])


def _words(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _display(formula: str) -> str:
    return f'<div style="overflow-x:auto">$$\n{escape(formula, quote=False)}\n$$</div>'


# ---------------------------------------------------------------------- theorems
@html.register
def _theorem(x: Theorem) -> str:
    sources = "; ".join(f"{BIBLIOGRAPHY[key].title} ({BIBLIOGRAPHY[key].year})" for key in x.sources)
    about = [("name", x.slug), ("regime", x.error.regime), ("sources", sources)]
    about += [(r.kind, f"{r.to}{', ' * bool(r.note)}{r.note}") for r in x.relations]
    return _page(x.title, _words(f"{x.hypotheses}."), _display(x.latex()), table(("", ""), about))


@html.register
def _catalog(x: Catalog) -> str:
    rows = [(slug, theorem.title) for slug, theorem in x.items()]
    return _page(f"{len(x)} theorems", table(("name", "statement"), rows))


@html.register
def _rates(x: Rates) -> str:
    found = {"c": x.exponent, "k": x.log}
    if x.optimal_ell is not None:
        found |= {r"\ell^*": x.optimal_ell, "c^*": x.optimal_exponent, "k^*": x.optimal_log}
    names = {s: LATEX[name] for name, s in NOTATION.items() if name in LATEX}
    lines = [f"{name} &= {latex(e, symbol_names=names)}" for name, e in found.items() if e != 0]
    body = "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"
    law = r"E\asymp T^{-c}(\log T)^k,\quad\lambda=T^{-\ell}"
    return _page(f"Rate of {x.formula.name}", _display(law), _display(body))


# ---------------------------------------------------------------------- theory against simulation
@html.register
def _simulation(x: Simulation) -> str:
    rows = [("mean test error", x.mean), ("standard error", x.sem), ("trials", x.trials), ("seed", x.seed)]
    return _page("Simulation", table(("", ""), rows))


@html.register
def _validation(x: Validation) -> str:
    rows = [
        ("theory", x.theory),
        ("finite-size correction", x.correction),
        ("simulation", f"{x.mean:.6g} ± {x.sem:.2g} ({x.simulation.trials} trials)"),
        ("z", f"{x.z:+.2f}"),
        ("relative gap", _percent(x.relative_gap)),
        ("finite-size allowance", _percent(x.allowance)),
        ("detectable error", _percent(x.detectable)),
    ]
    return _page(
        f"Validation: {'passed' if x.passed else 'FAILED'}",
        table(("", ""), rows),
        _words(f"A coarse run: {x.remedy}.") if x.coarse else "",
    )


@html.register
def _diagnosis(x: Diagnosis) -> str:
    rows = [(name, score, *THRESHOLDS[name]) for name, score in x.scores.items()]
    return _page(
        f"Diagnosis: {x.verdict} (T = {x.T:g}, ridge {x.lam:g})",
        _words(x.reason),
        table(("score", "value", "caution from", "distrust from"), rows),
        _words(x.comparison),
    )


@html.register
def _claim(x: ClaimCheck) -> str:
    return _page(f"Claim: {x.verdict}", f"<pre>{escape(str(x))}</pre>")


# ---------------------------------------------------------------------- optima and estimates
@html.register
def _optimum(x: Optimum) -> str:
    found = dict(x.value) if isinstance(x.value, Mapping) else {x.over[0]: x.value}
    columns: dict[str, Any] = {**found, "test error": x.error, "stationary": x.stationary}
    if x.clean_value is not None:
        columns |= {f"clean {x.over[0]}": x.clean_value, "clean error": x.clean_error}
    return _page(f"Least error of {x.formula.name}", _arrays(columns))


@html.register
def _break_even(x: BreakEven) -> str:
    return _page(f"Where {x.formula.name} breaks even", table((x.over, "lower in"), [(x.value, x.below)]))


@html.register
def _inference(x: Inference) -> str:
    fit = {"chi2": x.chi2, "degrees": x.degrees, "p": x.p_value, "relative error of a point": x.scatter}
    tail = ", ".join(f"{name} {_cell(value)}" for name, value in fit.items() if value is not None)
    return _page(f"Unknowns of {x.formula.name}", _intervals(x.value, x.interval(), 0.9), _words(tail))


@html.register
def _law(x: LawFit) -> str:
    lost = f"; undetermined: {', '.join(x.undetermined)}" if x.undetermined else ""
    return _page(
        "Fitted law",
        _intervals(x.value, x.intervals, x.level),
        _words(f"scatter {x.scatter:.2g}, p {x.p_value:.2g}{lost}"),
    )


@html.register
def _exponents(x: Exponents) -> str:
    intervals = {"beta": x.beta_interval, "r": x.r_interval}
    body = _intervals({"beta": x.beta, "r": x.r}, intervals, x.level)
    return _page("Exponents", body, _words(f"ranks {x.window[0]} to {x.window[1]}"))


def _intervals(value: Mapping[str, Any], ends: Mapping[str, Any], level: float) -> str:
    head = ("", "estimate", "from", f"to ({100 * level:g} %)")
    return table(head, [(name, _plain(value[name]), *map(_plain, ends[name])) for name in value])


def _arrays(columns: Mapping[str, Any]) -> str:
    """Return columns of one shape as rows, the middle of a long array left out."""
    flat = [np.ravel(c) for c in np.broadcast_arrays(*columns.values())]
    rows = [tuple(map(_plain, row)) for row in zip(*flat, strict=True)]
    if len(rows) > _ROWS:
        half = _ROWS // 2
        rows = [*rows[:half], ("…",) * len(columns), *rows[-half:]]
    return table(columns, rows)


def _plain(x: Any) -> Any:
    """Return a number of NumPy or SymPy as Python's, whose print is bounded."""
    if isinstance(x, np.generic):
        return x.item()
    return float(x) if isinstance(x, Expr) and x.is_Float else x


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
