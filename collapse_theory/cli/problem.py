"""What a command works on: a theorem by slug or a pipeline file, with inputs, values and exponents from options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr, Float, Rational

from collapse_theory import symbols
from collapse_theory.core.errors import DomainError, ParseError, nearest, shown
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.rates import EXPONENTS, Rates, rates
from collapse_theory.derive.test_error import test_error
from collapse_theory.describe import strings
from collapse_theory.describe.files import load
from collapse_theory.describe.grammar import formula as parsed
from collapse_theory.describe.pipeline import Pipeline
from collapse_theory.describe.recipe import located
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.describe.targets import Target
from collapse_theory.families.named import family_of
from collapse_theory.theorems.catalog import catalog

__all__ = ["ClaimedProblem", "Problem", "claimed_problem", "pairs", "problem", "rate_problem"]


@dataclass(frozen=True)
class Problem:
    """A formula with everything needed to evaluate it."""

    formula: ErrorFormula
    spectrum: Spectrum | None
    target: Target | None
    values: Mapping[str, Any]
    seed: int = 0
    trials: int = 200


def problem(what: str, spectrum: str | None, target: str | None, assignments: list[str]) -> Problem:
    """Return the problem that a command's arguments name.

    Args:
        what: A catalogue slug, or a path that ends in ``.toml``.
        spectrum: Text of a spectrum; overrides the file's.
        target: Text of a target; overrides the file's.
        assignments: ``name=values`` texts; override the file's values.

    Raises:
        ParseError: If a text is not understood.
        DomainError: If the slug is unknown.
    """
    given: dict[str, Any] = {}
    for name, value in map(_assignment, assignments):
        if name in given:
            raise ParseError(f"--set {name} needs to be given once, got it twice; write a list: --set {name}=1,2")
        given[name] = value
    inputs = None if spectrum is None else strings.spectrum(spectrum)
    truth = None if target is None else strings.target(target)
    if not what.endswith(".toml"):
        theorem = catalog[what].error
        _known(given, theorem, ())
        return Problem(theorem, inputs, truth, given)
    _, settings = load(what)
    first = settings.curves[0]
    swept = {k: v for k, v in settings.sweep.items() if k not in given}
    paths = settings.recipe.paths
    last = {k: v[-1].item() for k, v in swept.items() if k in paths}
    changed = {k: v for k, v in given.items() if k in paths}
    if settings.measured != "test error":
        raise ParseError(
            f"{what} needs to measure the test error here, got {settings.measured!r}; use collapse-theory report"
        )
    named = first.family or settings.family
    family = None if named is None else family_of(named, settings.folder)
    formula = test_error(settings.recipe.build(first, **{**last, **changed}), family=family, method=settings.method)
    _known(given, formula, paths)
    free = {x.name for x in formula.free_symbols}
    values = {**settings.values_of(first), **{k: v for k, v in swept.items() if k not in paths}}
    values = {k: v for k, v in values.items() if k in free} | {k: v for k, v in given.items() if k not in paths}
    return Problem(
        formula, inputs or settings.spectrum, truth or settings.target, values, settings.seed, settings.trials
    )


@dataclass(frozen=True)
class ClaimedProblem:
    """What a claim is about, and what is not drawn."""

    about: str | Pipeline
    spectrum: Spectrum | None
    target: Target | None
    values: Mapping[str, Any]


def claimed_problem(
    what: str | None, spectrum: str | None, target: str | None, assignments: list[str], *, rate: bool = False
) -> ClaimedProblem:
    """Return what a claim is compared with: a theorem at drawn points, or the pipeline of a file at its inputs and values.

    A claim about a rate has exact exponents for values, and none of a file's: they do not change with T.

    Raises:
        ParseError: If a text is not understood, or nothing is named.
    """
    if what is None:
        raise ParseError("check needs what the claim is about, got none; give --theorem SLUG or --theorem FILE.toml")
    given: dict[str, Any] = dict(map(_exponent_of if rate else _assignment, assignments))
    for name, value in given.items():
        if np.ndim(value):
            raise ParseError(f"--set {name} needs one value for a claim, got {np.size(value)}; the points are drawn")
    inputs = None if spectrum is None else strings.spectrum(spectrum)
    truth = None if target is None else strings.target(target)
    if not what.endswith(".toml"):
        return ClaimedProblem(what, inputs, truth, given)
    pipeline, settings = load(what)
    if rate:
        return ClaimedProblem(pipeline, inputs, truth, given)
    free = {x.name for x in pipeline.free_symbols}
    values = {k: v for k, v in settings.values_of(settings.curves[0]).items() if k in free}
    return ClaimedProblem(pipeline, inputs or settings.spectrum, truth or settings.target, {**values, **given})


def pairs(texts: list[str], option: str) -> dict[str, str]:
    """Return NAME=TEXT options as a mapping.

    Raises:
        ParseError: If a text is none, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value or name in found:
            raise ParseError(f"{option} needs NAME=LATEX, each name once, got {shown(text)}; write for example T=n")
        found[name] = value
    return found


def rate_problem(what: str, assignments: list[str], scales: list[str], *, curve: bool) -> tuple[Rates, dict[str, Any]]:
    """Return the rate that a command's arguments name, and the values of what does not change with T.

    Args:
        what: A catalogue slug, or a path that ends in ``.toml``.
        assignments: ``name=value`` texts: scale exponents by the names of :func:`.rates.rates`, and values of symbols.
        scales: ``symbol=exponent`` texts.
        curve: Whether values are of use: exponents do not depend on them.

    Raises:
        ParseError: If a text is not understood, a name is given twice, or a value is of no use.
        DomainError: If the slug is unknown, an exponent is out of range, or nothing grows with T.
    """
    exponents: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for text in assignments:
        name, value = _halves(text, "--set")
        known = values if name not in _EXPONENTS else exponents
        if name in known:
            raise ParseError(f"--set {name} needs to be given once, got it twice")
        with located(f"--set {name}"):
            known[name] = _exponent(value) if name in _EXPONENTS else strings.values(value)
    powers: dict[str, Any] = {}
    for text in scales:
        name, value = _halves(text, "--scale")
        if name in powers:
            raise ParseError(f"--scale {name} needs to be given once, got it twice")
        with located(f"--scale {name}"):
            powers[name] = _exponent(value)
    if values and not curve:
        raise ParseError(
            f"--set {min(values)} needs --check or -o: exponents do not depend on values; for {min(values)} = T**c write "
            f"--scale {min(values)}=c"
        )
    error = problem(what, None, None, []).formula
    found = rates(error, **exponents, scales=powers)
    if not any(x.name in {"T", "N"} or x.name in powers for x in error.all_symbols):
        raise DomainError(f'{error.name} needs rows that grow with T, got numbers only; write T = "T" in the file')
    if "T" in values:
        values["T"] = [int(x) for x in np.atleast_1d(values["T"])]
        if len(values["T"]) < 2 or sorted(set(values["T"])) != values["T"]:
            raise ParseError(f"--set T needs two values or more, increasing, got {values['T']}; write T=1e6,1e12,1e24")
    return found, values


def _exponent_of(text: str) -> tuple[str, Expr]:
    name, value = _halves(text, "--set")
    with located(f"--set {name}"):
        return name, _exponent(value)


def _exponent(text: str) -> Expr:
    """Return an exponent: a fraction, ``oo``, or an expression in symbols with the names of exponents."""
    value = parsed(text, {name: symbols.scale_exponent(name) for name in EXPONENTS - {"ell"}} | {"ell": symbols.ell})
    return value.xreplace({x: Rational(str(x)) for x in value.atoms(Float)})


_EXPONENTS = EXPONENTS | {"beta", "r"}


def _halves(text: str, option: str) -> tuple[str, str]:
    name, equals, value = (x.strip() for x in text.partition("="))
    if not (equals and name and value):
        raise ParseError(f"{option} needs NAME=VALUE, got {shown(text)}; write for example {option} beta=2")
    return name, value


def _known(given: Iterable[str], formula: ErrorFormula, paths: Iterable[str]) -> None:
    """Refuse names that are no symbol: they would meet the arguments of the calls that the values go to."""
    free = {x.name for x in formula.free_symbols}
    for name in given:
        if name not in {*free, *paths, "d", "test_noise"}:
            raise ParseError(
                f"--set needs the name of a symbol or an argument: {formula.name} has no symbol {shown(name)}"
                f"{nearest(name, {*free, *paths})}"
            )


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ParseError(f"--set needs NAME=VALUE, got {shown(text)}; write for example --set lam=0.01")
    with located(f"--set {name.strip()}"):
        return name.strip(), strings.values(value.strip())
