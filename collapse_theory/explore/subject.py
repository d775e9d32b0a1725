"""What is explored: a theorem of the catalogue or a described pipeline, each a formula, its sliders and its pipeline.

Every number of rows, noise, ridge or weight that a description gives becomes a symbol, so that one formula, compiled once,
answers wherever the sliders stand. Only what counts rounds makes another pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from sympy import Symbol, false

from collapse_theory import symbols
from collapse_theory.core.errors import DomainError, PipelineError, shown
from collapse_theory.core.reading import parse_toml
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.derive.test_error import test_error
from collapse_theory.describe.files import Settings, read_description
from collapse_theory.describe.pipeline import Pipeline
from collapse_theory.describe.recipe import WorkflowRecipe
from collapse_theory.explore.knobs import MOST_ROUNDS, Knob, count_knob, knob_of
from collapse_theory.explore.state import State
from collapse_theory.numerics.predictor import Predictor
from collapse_theory.theorems.catalog import catalog

__all__ = ["Subject", "explorable", "first_state", "predictor", "subject"]

_ROLES = {"T": symbols.T, "noise": symbols.sigma, "ridge": symbols.lam, "weight": symbols.w, "m": symbols.m}
_BUILT = (symbols.n.name, symbols.K.name)  # a pipeline is built fit by fit, so these need numbers
_OVER = ("lam", "w", "xi")
_DIMENSION = 300  # of the inputs at first
_OWN = "Your pipeline"  # what a description without a title is called


@dataclass(frozen=True, eq=False)
class Subject:
    """A family of pipelines with one slider per symbol.

    Attributes:
        text: The slug or the description.
        title: Its heading.
        hypotheses: In words; empty for a description.
        counts: Arguments that count rounds, with where they start.
        starts: Where symbols start, by name; others start where they usually do.
        over: What the curve is drawn over at first.
        build: Returns the test error at integers by the names of ``counts``.
        settings: What the description says beside its pipeline; None for a theorem.
        arguments: The description's arguments with a symbol for each number, by path; empty for a theorem.
    """

    text: str
    title: str
    hypotheses: str
    counts: Mapping[str, int]
    starts: Mapping[str, float]
    over: str
    build: Callable[[Mapping[str, int]], ErrorFormula]
    settings: Settings | None
    arguments: Mapping[str, Any]

    @cached_property
    def knobs(self) -> tuple[Knob, ...]:
        """The sliders: what counts rounds first, then symbols by name."""
        counting = tuple(count_knob(name, self._fewest(name), start) for name, start in self.counts.items())
        formula = self.formula(tuple(self.counts.items()))
        free = sorted((x for x in formula.free_symbols if x != symbols.d), key=_importance)
        return counting + tuple(knob_of(x, self.starts.get(x.name), formula.conditions) for x in free)

    def _fewest(self, name: str) -> int:
        """Return the least value of a count: 0, or 1 where nothing is built of none."""
        try:
            self.formula(tuple({**self.counts, name: 0}.items()))
        except PipelineError:
            return 1
        return 0

    def knob(self, name: str) -> Knob:
        """Return the slider of that name.

        Raises:
            DomainError: If there is none.
        """
        for knob in self.knobs:
            if knob.name == name:
                return knob
        raise DomainError(
            f"{self.title} needs one of {', '.join(k.name for k in self.knobs)}, got {shown(name)}; choose one"
        )

    def values(self, state: State) -> dict[str, int | float]:
        """Return where every slider stands.

        Raises:
            DomainError: If a name is unknown, or a value beyond the slider or no integer where one is needed.
        """
        for name, value in state.values.items():
            knob = self.knob(name)
            if not knob.low <= value <= knob.high or (knob.whole and value != int(value)):
                kind = "an integer" if knob.whole else "a number"
                raise DomainError(
                    f"{name} needs {kind} from {knob.low:g} to {knob.high:g} in the explorer, got {value}; move its slider"
                )
        return {knob.name: state.values.get(knob.name, knob.start) for knob in self.knobs}

    def counted(self, values: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
        """Return the values of what counts rounds."""
        return tuple((name, int(values[name])) for name in self.counts)

    @lru_cache(maxsize=64)  # noqa: B019 - subjects are few and live as long as the page
    def formula(self, counts: tuple[tuple[str, int], ...]) -> ErrorFormula:
        """Return the test error at so many rounds."""
        return self.build(dict(counts))

    def pipeline(self, values: Mapping[str, Any]) -> Pipeline | None:
        """Return the pipeline with a symbol for everything but rounds; None for a theorem that has none of finite length."""
        formula = self.formula(self.counted(values))
        if formula.pipeline is None:
            return None
        return formula.described({name: values[name] for name in _BUILT if name in values})[0]


@lru_cache(maxsize=64)
def subject(text: str) -> Subject:
    r"""Return the subject that a state's pipeline names.

    Raises:
        DomainError: If a slug is unknown.
        ParseError: If a description is not understood.
        PipelineError: If its pipeline is malformed, or no theory covers it.

    >>> [knob.name for knob in subject("ridge-clean").knobs]
    ['T', 'sigma', 'lam']
    >>> about = subject('workflow = "accumulate"\ngenerations = 3\nstage.T = 30\nstage.noise = 0.5')
    >>> [(knob.name, knob.start) for knob in about.knobs]
    [('generations', 3), ('T_stage', 30), ('sigma_stage', 0.5)]
    """
    if "=" not in text:
        theorem = catalog[text.strip()]
        error = theorem.error
        over = next(name for name in (*_OVER, *sorted(theorem.parameters)) if name in theorem.parameters)
        starts = _inside(error)
        return Subject(theorem.slug, theorem.title, theorem.hypotheses, {}, starts, over, lambda _: error, None, {})
    return _described(text)


def _inside(error: ErrorFormula) -> dict[str, float]:
    """Return rows below the dimension where the conditions of a theorem need them; they start above it."""
    starts: dict[str, float] = {}
    for condition in error.conditions:
        about = sorted(condition.free_symbols, key=str)
        usual = {x: _DIMENSION if x == symbols.d else knob_of(x).start for x in about}
        if symbols.d in usual and condition.subs(usual) == false:
            starts |= {x.name: _DIMENSION // 2 for x in about if x != symbols.d}
    return starts


def _inputs(text: str) -> dict[str, str]:
    """Return the spectrum and the target that a description names."""
    document = parse_toml(text, _OWN)
    if "data" in document:
        return dict.fromkeys(("spectrum", "target"), f"data:{document['data']}")
    return {name: document[name] for name in ("spectrum", "target") if isinstance(document.get(name), str)}


def _described(text: str) -> Subject:
    _, settings = read_description(text, _OWN)
    recipe, curve = settings.recipe, settings.curves[0]
    last = {k: v[-1].item() for k, v in settings.sweep.items() if k in recipe.paths}
    given = {**recipe.arguments, **curve.arguments, **last}
    parameters = recipe.parameters if isinstance(recipe, WorkflowRecipe) else {}
    counts = {
        name: given[name] for name, (hint, _) in parameters.items() if hint is int and type(given.get(name)) is int
    }
    for name, count in counts.items():
        if count > MOST_ROUNDS:
            raise DomainError(
                f"{name} needs at most {MOST_ROUNDS} in the explorer, got {count}; ct.test_error has no such limit"
            )
    starts: dict[str, float] = {**settings.values_of(curve)}
    arguments: dict[str, Any] = {}
    for path, value in given.items():
        owner, _, key = path.rpartition(".")
        if path in counts:
            continue
        if key in _ROLES and isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            symbol = symbols.indexed(_ROLES[key], owner) if owner else _ROLES[key]
            arguments[path], starts[symbol.name] = symbol, value
        else:
            arguments[path] = value
    swept = [k for k in settings.sweep if k not in recipe.paths or k in counts]

    def build(at: Mapping[str, int]) -> ErrorFormula:
        return test_error(recipe.build(**{**arguments, **at}))

    free = {x.name for x in build(counts).free_symbols}
    ridges = sorted(x for x in free if x.startswith("lam"))
    over = next((k for k in swept if k in free or k in counts), (ridges or sorted(free) or [*counts])[-1])
    return Subject(text, settings.title, "", counts, starts, over, build, settings, arguments)


def first_state(text: str) -> State:
    """Return where a subject begins: with the inputs of its description, with equal eigenvalues where the theorem needs them.

    >>> first_state("minnorm-same-design").spectrum
    'isotropic:d=300'
    """
    about = subject(text)
    said = _inputs(text) if about.settings is not None else {}
    if about.settings is None and about.formula(()).isotropic:
        said = {"spectrum": f"isotropic:d={_DIMENSION}", "target": "random:norm2=1"}
    spectrum = said.get("spectrum", State.spectrum)
    usual = State.target if spectrum.startswith("powerlaw") else "random:norm2=1"
    return State(text, about.over, spectrum, said.get("target", usual))


@lru_cache(maxsize=256)
def _predictor(text: str, counts: tuple[tuple[str, int], ...], spectrum: str, target: str) -> Predictor:
    measures = State(text, spectrum=spectrum, target=target).measures()
    found: Predictor = subject(text).formula(counts).compile(spectrum=measures[0], target=measures[1])
    return found


def predictor(state: State, counts: tuple[tuple[str, int], ...]) -> Predictor:
    """Return the compiled formula at the state's inputs; a call after the first is a look-up."""
    return _predictor(state.pipeline, counts, state.spectrum, state.target)


def explorable() -> list[tuple[str, str]]:
    """Return slug and title of the theorems about regression on one covariance: what the sliders of the page can describe."""
    return [(slug, th.title) for slug, th in catalog.items() if _regression(th.parameters)]


def _regression(parameters: frozenset[str]) -> bool:
    """Whether there is label noise, and no share of samples with a covariance of their own."""
    return any(name.startswith("sigma") for name in parameters) and "p1" not in parameters


_ORDER = ("n", "T", "T0", "N", "sigma", "sigma0", "lam", "lam0")


def _importance(x: Symbol) -> tuple[int, str]:
    stem = x.name.partition("_")[0]
    return (_ORDER.index(stem) if stem in _ORDER else len(_ORDER), x.name)
