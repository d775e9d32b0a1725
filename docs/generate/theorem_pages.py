"""One page per theorem: what it says and when, code that runs, a picture, its derivation, relations and sources.

The example of a page is the point at which the tests hold the theorem against a simulation (``tests/points.py``).
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

import collapse_theory as ct
from collapse_theory.families.regular import Regular
from collapse_theory.present.bibliography import BIBLIOGRAPHY, Reference
from collapse_theory.present.glossary import WORDS
from collapse_theory.present.printer import to_latex
from collapse_theory.present.stated import stated
from collapse_theory.present.statement import claim
from collapse_theory.symbols import NOTATION, n
from collapse_theory.theorems.graph import Edge, incoming, outgoing
from collapse_theory.theorems.theorem import Theorem
from docs.generate.cells import Cell, escaped, fenced
from docs.generate.literate import SCRIPTS, script
from tests.points import MEASURE, POINTS

__all__ = ["page_cells", "scripts_of", "theorem_index", "title_of"]

_AXES = {
    "n": "range({least}, 9)",
    "lam": "np.geomspace(1e-3, 10, 41)",
    "w": "np.linspace(0.05, 0.95, 19)",
    "N": "np.arange({value}, 8 * {value}, {value})",
    "T": "np.arange({value}, 8 * {value}, {value})",
}
"""What a picture varies, the first that a theorem has."""
_POINTS, _TRIALS, _MANY = 6, 40, 400
"""How much of a picture is simulated; averages of rows are quick, so there are many."""


def title_of(slug: str) -> str:
    """Return the heading of the page of a theorem.

    >>> title_of("ols-accumulate-fixed-design")
    'Accumulate on the same inputs: the pi^2/6 law'
    """
    return ct.catalog[slug].title


def page_cells(theorem: Theorem) -> list[Cell]:
    """Return the page of a theorem."""
    return [
        Cell(f"# {title_of(theorem.slug)}\n\n`{theorem.slug}` · {theorem.regime}"),
        Cell(f"{{download}}`This page as a notebook <notebooks/{theorem.slug}.ipynb>`", site_only=True),
        Cell(_statement(theorem)),
        *_pipeline(theorem),
        Cell("## Run it\n\nThe terms of the error, evaluated at one point."),
        Cell(_example(theorem), runs=True),
        *_picture(theorem),
        Cell(f"## LaTeX\n\n{fenced(theorem.statement(), 'latex')}"),
        Cell(relations(theorem.slug)),
        Cell(_derivation(theorem)),
        Cell(sources(theorem)),
        Cell(f"{{cite:p}}`{','.join(theorem.sources)}`", site_only=True),
    ]


def theorem_index(theorems: Iterable[Theorem]) -> str:
    """Return the page that lists all theorems, in Markdown."""
    listed = list(theorems)
    rows = [f"| [{th.slug}](theorems/{th.slug}.ipynb) | {th.regime} | {escaped(th.title)} |" for th in listed]
    tree = "\n".join(f"{th.slug} <{th.slug}>" for th in listed)
    rows = [row.replace("(theorems/", "(") for row in rows]
    return "\n".join([
        "# The catalogue",
        "",
        ("Every theorem has a page: statement, conditions, code, picture, LaTeX, derivation, relations, sources. "
        "[Which theorem applies to me](../which_theorem.md) finds yours by a few questions."),
        "",
        "| theorem | regime | says |",
        "|---|---|---|",
        *rows,
        "",
        "```{toctree}",
        ":hidden:",
        ":maxdepth: 1",
        "",
        tree,
        "```",
        "",
        "## How they hang together",
        "",
        "General theorems left, what they contain, tend to or are bounded by right ([the kinds of relations](../theorems.md)).",
        "",
        "[![The theorems and their relations](graph.svg)](graph.svg)",
        "",
    ])  # fmt: skip


# ---------------------------------------------------------------- what it says
def _statement(theorem: Theorem) -> str:
    formula = theorem.error
    named = [x for x in NOTATION.values() if x.name in theorem.parameters]
    symbols = [f"| ${to_latex(x)}$ | `{x.name}` | {WORDS.get(x.name, '')} |" for x in named]
    table = ["", "| symbol | in code | meaning |", "|---|---|---|", *symbols, ""] if symbols else []
    holds = stated(formula.conditions)
    where = (
        [f"It holds for {', '.join(f'${x}$' for x in holds)}; elsewhere it raises `ct.DomainError`.", ""]
        if holds
        else []
    )
    return "\n".join([
        f"{_hypotheses(theorem)}.",
        f"Then the {claim(theorem)}",
        "",
        f"$$\n{formula.latex()}\n$$",
        "",
        *where,
        *table,
    ])  # fmt: skip


def _hypotheses(theorem: Theorem) -> str:
    """Return the hypotheses, their LaTeX outside formulas as Markdown; names of theorems are links."""
    text = re.sub(r"\\emph\{([^}]*)\}", r"*\1*", theorem.hypotheses)
    return re.sub(r"\\texttt\{([^}]*)\}", lambda found: _name(found[1].replace("\\", "")), text)


def _name(name: str) -> str:
    return f"[{name}]({name}.ipynb)" if name in ct.catalog else f"`{name}`"


# ---------------------------------------------------------------- what runs
def _pipeline(theorem: Theorem) -> list[Cell]:
    if not theorem.simulates:
        return []
    counts = [f"{name}=2" for name in ("n", "K") if name in theorem.parameters]
    code = f'import collapse_theory as ct\n\ntheorem = ct.catalog["{theorem.slug}"]\ntheorem.pipeline({", ".join(counts)}).draw()'
    return [Cell("## Who labels what, and who fits on what"), Cell(code, runs=True)]


def _example(theorem: Theorem) -> str:
    at = {k: _plain(v) for k, v in _at(theorem.slug).items()}
    about = "" if theorem.error.family is not None else f"about = {_about(theorem)}\n"
    passed = "**at" if theorem.error.family is not None else "**about, **at"
    return (
        f'import collapse_theory as ct\n\ntheorem = ct.catalog["{theorem.slug}"]\n{about}at = {at}\n'
        f"theorem.error.evaluate({passed}, terms=True)"
    )


def _about(theorem: Theorem) -> str:
    """Return spectrum and target, of the dimension at which the theorem is tested."""
    point = POINTS[theorem.slug]
    measured = (point.measure if point.simulated else MEASURE)["spectrum"]
    d = (measured["Sigma"] if isinstance(measured, dict) else measured).rank
    inputs = f"ct.Isotropic({d})" if theorem.error.isotropic else f"ct.PowerLaw({d}, beta=0.5)"
    if isinstance(
        point.measure["spectrum"], dict
    ):  # the labels of synthetic rows are off by an offset of its own covariance
        inputs = f'{{"Sigma": {inputs}, "Delta": ct.Isotropic({d}, scale=0.1)}}'
    return f'{{"spectrum": {inputs}, "target": ct.RandomTarget()}}'


def _at(slug: str) -> dict[str, Any]:
    point = POINTS[slug]
    return point.simulated or point.values


def _plain(value: Any) -> int | float:
    """Return a NumPy number as a Python number of few digits: a point is an example."""
    return value if isinstance(value, int) else float(np.format_float_positional(float(value), precision=4))


def _picture(theorem: Theorem) -> list[Cell]:
    at = _at(theorem.slug)
    over = next((name for name in _AXES if name in at), None)
    if over is None:
        return []
    formula = theorem.error
    least = int(any(c == (n >= 1) for c in formula.conditions))
    values = _AXES[over].format(least=least, value=_plain(at[over]))
    simulated = theorem.simulates and not isinstance(formula.family, Regular)
    runs = _TRIALS if formula.family is None else _MANY
    trials = f", trials={runs}, points={_POINTS}" if simulated else ""
    about = "" if formula.family is not None else "**about, "
    setup = "import numpy as np\n\n" if "np." in values else ""
    said = f"Lines are theory, dots {runs} simulated runs with two standard errors." if simulated else "Theory."
    code = f'{setup}theorem.error.plot("{over}", {about}**{{**at, "{over}": {values}}}{trials})'
    return [Cell(said), Cell(code, runs=True)]


# ---------------------------------------------------------------- what it is related to, and why it is true
def relations(slug: str) -> str:
    """Return the relations of a theorem to others, those that others state included, with links.

    >>> "[ridge-clean](ridge-clean.ipynb)" in relations("ridge-replace")
    True
    """
    edges = [*outgoing(slug), *incoming(slug)]
    told = [f"* {_linked(edge, slug)}" for edge in edges] or ["It stands alone."]
    return "\n".join(["## Relations", "", *told])


def _linked(edge: Edge, slug: str) -> str:
    other = edge.target if edge.source == slug else edge.source
    return re.sub(rf"(?<![\w-]){other}(?![\w-])", f"[{other}]({other}.ipynb)", escaped(edge.words()))


@cache
def scripts_of(slug: str) -> tuple[str, ...]:
    """Return the derivations of a theorem: the script of its name, else those that name it, else those of its general form.

    >>> scripts_of("ridge-replace"), scripts_of("ols-accumulate-limit")
    (('ridge_replace',), ('ols_accumulate',))
    """
    own = slug.replace("-", "_")
    if own in SCRIPTS:
        return (own,)
    named = tuple(name for name in SCRIPTS if script(name).mentions(slug))
    general = slug.rpartition("-")[0]
    return named or (scripts_of(general) if general in ct.catalog else ())


def _derivation(theorem: Theorem) -> str:
    scripts = [_folded(f"derivations/{name}.py", script(name).source) for name in scripts_of(theorem.slug)]
    return "\n\n".join(
        ["## Derivation", derived(theorem), *scripts, "In the package:", fenced(_source(theorem), "python")]
    )


def _folded(title: str, source: str) -> str:
    return f"<details><summary><code>{title}</code></summary>\n\n{fenced(source, 'python')}\n\n</details>"


def derived(theorem: Theorem) -> str:
    r"""Return where the derivation is told step by step, with links.

    >>> print(derived(ct.catalog["ridge-clean"]))
    Step by step, each step checked as it runs: [ridge\_clean](../derivations/ridge_clean.md).
    """
    found = [f"[{escaped(name)}](../derivations/{name}.md)" for name in scripts_of(theorem.slug)]
    if not found:
        return "It has no script of its own: it follows like its neighbours."
    return f"Step by step, each step checked as it runs: {', '.join(found)}."


def _source(theorem: Theorem) -> str:
    """Return the code that derives it, with the closed form that a workflow of several families shares."""
    held = inspect.getclosurevars(theorem.derive).nonlocals.values()
    functions = [theorem.derive, *(x.form for x in held if inspect.isfunction(getattr(x, "form", None)))]
    return "\n\n".join(textwrap.dedent(inspect.getsource(x)).rstrip() for x in functions)


# ---------------------------------------------------------------- who found it
def sources(theorem: Theorem) -> str:
    """Return the sources in words."""
    return "\n".join(["## Sources", "", *(f"* {_cited(BIBLIOGRAPHY[key])}" for key in theorem.sources)])


def _cited(source: Reference) -> str:
    people = [" ".join(reversed(name.split(", "))) for name in source.authors.split(" and ")]
    names = ", ".join(people[:3]) + (" et al." if len(people) > 3 else "")
    where = [source.journal] if source.journal else []
    where += [f"[arXiv:{source.arxiv}](https://arxiv.org/abs/{source.arxiv})"] if source.arxiv else []
    return f"{names}: *{escaped(source.title)}* ({source.year}). {', '.join(where)}"
