"""What is computed from a state: pure functions that return plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collapse_theory.core.errors import CollapseTheoryError
from collapse_theory.explore.knobs import Knob
from collapse_theory.explore.state import State
from collapse_theory.explore.subject import Subject, predictor, subject
from collapse_theory.study.optimum import optimal_ridge

__all__ = ["curve", "optimum"]

_POINTS = 49


def curve(state: State, points: int = _POINTS) -> dict[str, Any]:
    """Return the test error and its terms over the state's ``over``, and where the sliders stand.

    A point outside the theorem's conditions, or at which the error is infinite, is None; ``refused`` is why, at the first of
    them.

    Returns:
        ``x``, ``total``, ``terms`` (by name), ``here`` (``x``, ``total``, ``terms`` where the sliders stand; None where
        that is refused) and ``refused``.

    Raises:
        CollapseTheoryError: If the state is malformed.

    >>> found = curve(State("ridge-clean"))
    >>> len(found["x"]), sorted(found["terms"]), found["refused"]
    (49, ['bias', 'variance'], None)
    """
    about = subject(state.pipeline)
    values, knob = about.values(state), about.knob(state.over)
    xs = knob.points(points)
    totals, terms, refused = _along(state, about, values, knob, xs)
    here, why = _at(state, about, values)
    return {
        "x": xs, "total": totals, "terms": terms, "refused": why if here is None else refused,
        "here": None if here is None else {"x": values[knob.name], "total": _plain(sum(here.values())),
                                           "terms": {k: _plain(v) for k, v in here.items()}},
    }  # fmt: skip


def optimum(state: State) -> dict[str, float] | None:
    """Return where on the slider's range the error is least, and that error; None if at an end, or for an integer.

    The minimum is the global one of :func:`.optimal_ridge`, from the exact derivative.

    >>> best = optimum(State("minnorm-label-mix", over="w"))
    >>> round(best["x"], 6)  # one over the golden ratio
    0.618034
    """
    about = subject(state.pipeline)
    values, knob = about.values(state), about.knob(state.over)
    if knob.name in about.counts:
        return None
    formula = about.formula(about.counted(values))
    symbol = next((x for x in formula.free_symbols if x.name == knob.name), None)
    if symbol is None or symbol.is_integer:
        return None
    used = {x.name for x in formula.free_symbols} - {knob.name}
    spectrum, target = state.measures()
    try:
        best = optimal_ridge(
            formula, spectrum=spectrum, target=target, over=knob.name, between=(knob.low, knob.high),
            **{k: v for k, v in values.items() if k in used},
        )  # fmt: skip
    except CollapseTheoryError:  # its range is tied to other arguments, or the error does not depend on it
        return None
    return {"x": best.value, "total": best.error} if best.stationary else None


def _along(
    state: State, about: Subject, values: Mapping[str, Any], knob: Knob, xs: Sequence[float]
) -> tuple[list[float | None], dict[str, list[float | None]], str | None]:
    """Return totals, terms and the first refusal along the points."""
    rows = _rows(state, about, values, knob, xs)
    names = dict.fromkeys(name for row, _ in rows if row for name in row)
    terms = {k: [None if row is None else _plain(row.get(k, 0.0)) for row, _ in rows] for k in names}
    totals = [None if row is None else _plain(sum(row.values())) for row, _ in rows]
    return totals, terms, next((why for _, why in rows if why), None)


_Row = tuple[Mapping[str, float] | None, str | None]


def _rows(state: State, about: Subject, values: Mapping[str, Any], knob: Knob, xs: Sequence[float]) -> list[_Row]:
    """Return terms or a refusal at each point: all in one call where it may be, by halves where some are refused."""
    if len(xs) == 1 or knob.name in about.counts:
        return [_at(state, about, {**values, knob.name: x}) for x in xs]
    try:
        together = _terms(state, about, {**values, knob.name: np.array(xs)})
    except CollapseTheoryError:
        middle = len(xs) // 2
        return [row for half in (xs[:middle], xs[middle:]) for row in _rows(state, about, values, knob, half)]
    columns = {k: np.broadcast_to(a, len(xs)).tolist() for k, a in together.items()}
    return [({k: column[i] for k, column in columns.items()}, None) for i in range(len(xs))]


def _at(state: State, about: Subject, values: Mapping[str, Any]) -> _Row:
    """Return the terms at a point, or why there are none."""
    try:
        return _terms(state, about, values), None
    except CollapseTheoryError as e:
        return None, str(e)


def _terms(state: State, about: Subject, values: Mapping[str, Any]) -> Mapping[str, Any]:
    predict = predictor(state, about.counted(values))
    wanted = {x.name for x in predict.program.symbols}
    found: Mapping[str, Any] = predict(terms=True, **{k: v for k, v in values.items() if k in wanted})
    return found


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
