"""What the page has on the clipboard: the state as Python and as a pipeline file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_origin

from sympy import Expr, Symbol

from collapse_theory.describe.grammar import formula as parsed
from collapse_theory.describe.recipe import GraphRecipe, WorkflowRecipe
from collapse_theory.explore.state import State
from collapse_theory.explore.subject import Subject, subject

__all__ = ["python_code", "toml_code"]

_CLASSES = {
    "isotropic": "Isotropic",
    "powerlaw": "PowerLaw",
    "spiked": "Spiked",
    "random": "RandomTarget",
    "source": "SourceTarget",
}
_SWEPT = 25


def python_code(state: State) -> str:
    """Return a program that prints the test error where the sliders stand.

    >>> print(python_code(State("ridge-clean", values={"T": 900})))
    import collapse_theory as ct
    <BLANKLINE>
    spectrum = ct.PowerLaw(d=300, beta=1.5)
    target = ct.SourceTarget(r=0.5)
    err = ct.catalog["ridge-clean"].error
    print(err.evaluate(spectrum=spectrum, target=target, T=900, sigma=0.5, lam=0.01))
    """
    about = subject(state.pipeline)
    values = about.values(state)
    lines = ["import collapse_theory as ct", ""]
    by_hand = about.settings is None or isinstance(about.settings.recipe, WorkflowRecipe)
    from_data = state.spectrum.startswith("data:")
    if from_data or not by_hand:
        file = f"pathlib.Path('pipeline.toml').write_text(r'''{toml_code(state)}''')"
        lines = ["import pathlib", "", *lines, file, "pipe, settings = ct.load('pipeline.toml')"]
    if from_data:
        lines.append("spectrum, target = settings.spectrum, settings.target")
    else:
        lines += [f"spectrum = {_object(state.spectrum)}", f"target = {_object(state.target)}"]
    if about.settings is None:
        lines.append(f'err = ct.catalog["{about.text.strip()}"].error')
        free = values
    else:
        lines.append(f"err = ct.test_error({_call(about, values) if by_hand else 'pipe'})")
        free = {} if by_hand else _symbols(about, values)
    given = "".join(f", {name}={value!r}" for name, value in free.items())
    lines.append(f"print(err.evaluate(spectrum=spectrum, target=target{given}))")
    return "\n".join(lines)


def toml_code(state: State) -> str:
    r"""Return the state as a pipeline file that sweeps what the curve is drawn over; empty for a limit, which is no pipeline.

    >>> print(toml_code(State('workflow = "replace"\ngenerations = 0\ndownstream.T = 30', over="T_downstream")).splitlines()[3:6])
    ['workflow = "replace"', 'generations = 0', 'downstream.T = 30']
    """
    about = subject(state.pipeline)
    values = about.values(state)
    free = _symbols(about, values)
    if about.settings is None:
        pipe = about.pipeline(values)
        if pipe is None:
            return ""
        described = pipe.to_toml()
    else:
        recipe, arguments = about.settings.recipe, _numbers(about, values)
        if isinstance(recipe, WorkflowRecipe):
            described = _lines([("workflow", recipe.workflow), *arguments.items()]) + "\n"
        else:
            described = _tables(recipe, arguments)  # type: ignore[arg-type]
    points = json.dumps(about.knob(state.over).points(_SWEPT))
    path = next((p for p, x in about.arguments.items() if isinstance(x, Symbol) and x.name == state.over), state.over)
    kept = {name: value for name, value in free.items() if name != state.over}
    values_table = f"\n[values]\n{_lines(kept.items())}\n" if kept else ""
    swept = "" if about.settings is None and state.over in _built(about, values) else f"\n[sweep]\n{path} = {points}\n"
    return f"{_inputs(state)}\n{described}{values_table}{swept}"


def _built(about: Subject, values: Mapping[str, Any]) -> set[str]:
    """Return what the theorem's pipeline was built with, which is no symbol of it."""
    pipe = about.pipeline(values)
    return set() if pipe is None else set(values) - {x.name for x in pipe.free_symbols}


def _symbols(about: Subject, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the symbols of the pipeline file: those that no number of it stands for."""
    numbers = {x.name for x in about.arguments.values() if isinstance(x, Symbol)} | set(about.counts)
    gone = _built(about, values) if about.settings is None else numbers
    return {name: value for name, value in values.items() if name not in gone}


def _numbers(about: Subject, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a description as they are written, with the numbers at which the sliders stand."""
    moved = {path: values.get(x.name) if isinstance(x, Symbol) else x for path, x in about.arguments.items()}
    return {**{name: values[name] for name in about.counts}, **moved}


def _call(about: Subject, values: Mapping[str, Any]) -> str:
    """Return the call of a workflow, everything at its number."""
    recipe = about.settings.recipe  # type: ignore[union-attr]
    assert isinstance(recipe, WorkflowRecipe)
    stages: dict[str, list[str]] = {}
    plain: list[str] = []
    for path, value in _numbers(about, values).items():
        owner, _, key = path.rpartition(".")
        word = path in recipe.parameters and get_origin(recipe.parameters[path][0]) is Literal
        written = f"{key}={value!r}" if word else f"{key}={_number(value, values, recipe.names)}"
        if owner:
            stages.setdefault(owner, []).append(written)
        else:
            plain.append(written)
    plain += [f"{owner}=ct.Stage({', '.join(fields)})" for owner, fields in stages.items()]
    return f"ct.workflows.{recipe.workflow}({', '.join(plain)})"


def _number(value: Any, values: Mapping[str, Any], names: Mapping[str, Expr]) -> str:
    if not isinstance(value, str):
        return repr(value)
    expr = parsed(value, names)
    return _plain(expr.subs({x: values[x.name] for x in expr.free_symbols}))


def _plain(number: Expr) -> str:
    return repr(int(number) if number.is_Integer else float(number))


def _inputs(state: State) -> str:
    if state.spectrum.startswith("data:"):
        return _lines([("data", state.spectrum.removeprefix("data:"))]) + "\n"
    return _lines([("spectrum", state.spectrum), ("target", state.target)]) + "\n"


def _object(text: str) -> str:
    """Return the Python of ``powerlaw:d=300,beta=1.5``."""
    kind, _, rest = text.partition(":")
    given = []
    for item in filter(None, rest.split(",")):
        key, _, value = (x.strip() for x in item.partition("="))
        numbers = [_plain(parsed(x)) for x in value.split("/")]
        given.append(f"{key}=[{', '.join(numbers)}]" if key == "spikes" else f"{key}={numbers[0]}")
    return f"ct.{_CLASSES[kind.strip()]}({', '.join(given)})"


def _tables(recipe: GraphRecipe, arguments: Mapping[str, Any]) -> str:
    out = []
    for kind, names in (("features", recipe.features), ("sample", recipe.samples), ("fit", recipe.fits)):
        for name in names:
            own = [(p.partition(".")[2], v) for p, v in arguments.items() if p.partition(".")[0] == name]
            out.append(f"[[{kind}]]\n{_lines([('name', name), *own])}\n")
    return "\n".join(out)


def _lines(given: Iterable[tuple[str, Any]]) -> str:
    return "\n".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in given)
