"""The reference, read off the code: the command line, pipeline files, and the public names by what they are for."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import typer.main

import collapse_theory as ct
from collapse_theory.cli.main import app
from collapse_theory.describe import strings, workflows
from collapse_theory.describe.files import SETTINGS, Settings
from collapse_theory.describe.recipe import FEATURE_KEYS, FIT_KEYS, SAMPLE_KEYS
from collapse_theory.present.bibliography import BIBLIOGRAPHY, bibtex
from collapse_theory.present.glossary import WORDS
from collapse_theory.present.printer import to_latex
from collapse_theory.symbols import NOTATION
from docs.generate.cells import escaped, fenced

__all__ = [
    "api_index",
    "api_page",
    "api_rooms",
    "bibliography",
    "command_page",
    "documented",
    "estimator_page",
    "files_page",
]

ROOT = Path(ct.__file__).parent

_ROOMS = {
    "describe": "Describe: spectra, targets, pipelines, workflows",
    "derive": "Derive: test errors, what is seen from inside, rates",
    "theorems": "The catalogue",
    "study": "Optimise, infer, fit",
    "simulate": "Simulate",
    "check": "Validate, diagnose, check claims",
    "families": "Families of models",
    "engine": "Expressions in Gaussian matrices",
    "numerics": "Numbers on their own",
    "present": "Formulas from text",
    "core": "Errors and warnings",
}
"""The rooms of the package that have public names, in the order of a reader's questions."""


# ---------------------------------------------------------------- the command line
def command_page() -> str:
    """Return the reference of the command line in Markdown."""
    group = typer.main.get_command(app)
    told = [
        "# Command line",
        f"{group.help} Read off the program: `collapse-theory COMMAND --help` says the same.",
        "Exit code 0 is success, 1 a check that failed, 2 bad input. Every command takes `--json`.",
        fenced(_example(group.epilog), "text"),
    ]
    for name, command in group.commands.items():
        told += [f"## {name}", escaped(command.help)]
        rows = [f"| {_option(p)} | {escaped(p.help or '')}{_default(p)} |" for p in command.params]
        told += ["\n".join(["| argument | means |", "|---|---|", *rows])]
        told += [fenced(_example(command.epilog), "text")]
    return "\n\n".join(told) + "\n"


def _example(epilog: str | None) -> str:
    return (epilog or "").removeprefix("Example: ")


def _option(parameter: Any) -> str:
    names = ", ".join(parameter.opts) if parameter.param_type_name == "option" else ""
    shown = f"{names} {parameter.metavar or ''}".strip()
    return f"`{shown}`"


def _default(parameter: Any) -> str:
    plain = isinstance(parameter.default, str | int | float) and not isinstance(parameter.default, bool)
    return f" Default: `{parameter.default}`." if plain else ""


# ---------------------------------------------------------------- pipeline files
_ABOUT_FILES = """A pipeline file is TOML with the vocabulary of the Python calls. It has either `[[sample]]` and `[[fit]]` tables
or `workflow = NAME` with the arguments of the call, and around it what is evaluated, varied and simulated. Numbers may be formulas
in quotes; they are parsed, never evaluated as Python. `ct.load(path)` reads a file, `pipe.to_toml()` writes one."""


def files_page() -> str:
    """Return the reference of pipeline files in Markdown."""
    settings = documented(Settings, "Attributes") | {
        "rows": "How many of the first rows of the data set; the default is all.",
        "kernel": "Kernel among the rows in place of its inputs: `rbf:gamma=0.01` or `polynomial:degree=3,offset=1`.",
        "overlaps": "Of several truths: numbers, or files of one product per direction, by \"NAME,NAME\".",
        "curve": "Tables with a name each: theories to compare, each with its own arguments or values of symbols.",
    }  # fmt: skip
    sample = documented(ct.Pipeline.sample, "Args") | {"pool": documented(ct.Pipeline.subsample, "Args")["pool"]}
    fit = documented(ct.Pipeline.fit, "Args")
    fit["data"] = fit["samples"]
    features = documented(ct.Pipeline.features, "Args")
    values = documented(strings.values, "Args")["text"]
    called = [(f"{name}{_signature(f)}", f) for name in workflows.__all__ if (f := getattr(workflows, name))]
    quoted = [("spectrum", strings.spectrum), ("target", strings.target), ("filter", strings.filter_of)]
    return "\n\n".join([
        "# Pipeline files",
        _ABOUT_FILES,
        "## Around the pipeline",
        _table(SETTINGS, settings),
        f"A list or range in `[sweep]` is: {_said(values)}",
        "## Samples: `[[sample]]`",
        _table(("name", *SAMPLE_KEYS), sample),
        "## Fits: `[[fit]]`",
        _table(("name", *FIT_KEYS), fit),
        "## Shared random features: `[[features]]`",
        _table(("name", *FEATURE_KEYS), features),
        "## Workflows",
        "\n".join(f"* `{call}`: {_summary(f)}" for call, f in called),
        "A stage is a table such as `[stage]`, `[generator]` or `[real]`:",
        _table(("T", "noise", "ridge"), documented(ct.Stage, "Args")),
        "## Spectra, targets and filters in quotes",
        "\n".join(f"* `{key}`: {_summary(f)} {_said(documented(f, 'Args').get('text', ''))}" for key, f in quoted),
        "## Examples",
        *(f"### {path.name}\n\n{fenced(path.read_text(encoding='utf-8'), 'toml')}" for path in _examples()),
    ]) + "\n"  # fmt: skip


def _examples() -> list[Path]:
    return sorted(
        p
        for p in (ROOT.parent / "examples").glob("*.toml")
        if "[[sample]]" in p.read_text() or "workflow" in p.read_text()
    )


def _table(keys: tuple[str, ...], said: dict[str, str]) -> str:
    return "\n".join(
        ["| key | means |", "|---|---|", *(f"| `{key}` | {_said(said[_plural(key, said)])} |" for key in keys)]
    )


def _plural(key: str, said: dict[str, str]) -> str:
    return key if key in said else f"{key}s"


def _signature(function: Any) -> str:
    arguments = inspect.signature(function).parameters.values()
    return f"({', '.join(p.name if p.default is p.empty else f'{p.name}={p.default!r}' for p in arguments)})"


def _summary(function: Any) -> str:
    return _said(" ".join(inspect.getdoc(function).split("\n\n")[0].split()))


def documented(thing: Any, section: str) -> dict[str, str]:
    """Return what a Google docstring says of each name in one of its sections.

    >>> documented(ct.Pipeline.truth, "Args")
    {'name': 'What targets call them, for example ``"w1"``.'}
    """
    lines = inspect.getdoc(thing).splitlines()
    found: dict[str, str] = {}
    if f"{section}:" not in lines:
        return found
    for line in lines[lines.index(f"{section}:") + 1 :]:
        start = re.fullmatch(r"    (\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif line.startswith("        "):
            found[name] += " " + line.strip()
        else:
            break
    return found


def _said(text: str) -> str:
    """Return a docstring's words in Markdown."""
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = re.sub(r":\w+:`~?\.?(?:[\w.]*\.)?(\w+)`", r"``\1``", text)
    pieces = text.split("``")
    return (
        "".join(f"`{x}`" if i % 2 else escaped(x) for i, x in enumerate(pieces)).replace("\\`", "`").replace("|", r"\|")
    )


# ---------------------------------------------------------------- public names
def api_rooms() -> dict[str, list[str]]:
    """Return the public names by the room that defines them, as the stub of the package lists them.

    >>> "test_error" in api_rooms()["derive"]
    True
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for node in ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found[node.module.split(".")[0]] += [alias.name for alias in node.names]
    return {room: found[room] for room in _ROOMS if room in found}


def api_index() -> str:
    """Return the page that leads to the public names, in Markdown."""
    rows = [
        f"| [{title}]({room}.md) | {', '.join(f'`{x}`' for x in api_rooms()[room])} |" for room, title in _ROOMS.items()
    ]
    symbols = [f"| ${to_latex(x)}$ | `{name}` | {WORDS.get(name, '')} |" for name, x in NOTATION.items()]
    return "\n".join([
        "# Public names",
        "",
        ("Everything is reached as `ct.NAME` after `import collapse_theory as ct`; the estimator for scikit-learn is "
        "[collapse_theory.sklearn](estimator.md)."),
        "",
        "| what for | names |",
        "|---|---|",
        *rows,
        "",
        "```{toctree}",
        ":hidden:",
        "",
        *_ROOMS,
        "estimator",
        "```",
        "",
        "## Symbols",
        "",
        "`ct.symbols` has the symbols of the theory, with their assumptions; values are matched to them by name.",
        "",
        "| symbol | in code | meaning |",
        "|---|---|---|",
        *symbols,
        "",
    ])  # fmt: skip


def api_page(room: str, names: list[str]) -> str:
    """Return the page of the public names of a room, which Sphinx fills from their docstrings."""
    return "\n\n".join([f"# {_ROOMS[room]}", *(_directive(name) for name in names)]) + "\n"


def _directive(name: str) -> str:
    thing = getattr(ct, name)
    kind = (
        "module"
        if inspect.ismodule(thing)
        else "class"
        if inspect.isclass(thing)
        else "function"
        if callable(thing)
        else "data"
    )
    options = ["   :members:"] if kind in {"module", "class"} else []
    body = [f".. auto{kind}:: {thing.__name__ if kind == 'module' else f'collapse_theory.{name}'}", *options]
    return fenced("\n".join(body), "{eval-rst}")


def estimator_page() -> str:
    """Return the page of the estimator for scikit-learn."""
    directive = (
        ".. automodule:: collapse_theory.sklearn\n   :members:\n   :exclude-members: set_fit_request, set_score_request"
    )
    return f"# An estimator for scikit-learn\n\n{fenced(directive, '{eval-rst}')}\n"


def bibliography() -> str:
    """Return all sources as BibTeX; formulas in titles are characters, since the site's bibliography sets no formulas."""
    return bibtex(BIBLIOGRAPHY).replace(r"$\pi^2/6$", "π²/6") + "\n"
