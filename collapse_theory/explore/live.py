"""Monte Carlo points that arrive one by one and grow more certain: rounds of a few trials at each of a few values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.core.errors import CollapseTheoryError, DomainError
from collapse_theory.describe.pipeline import Pipeline
from collapse_theory.explore.curves import curve
from collapse_theory.explore.state import State
from collapse_theory.explore.subject import Subject, subject
from collapse_theory.simulate.trials import Simulation, simulate

__all__ = ["live_points"]

_PLACES = 9
_TRIALS = (
    2  # of a round at one place: the fewest with an error bar, so that a point is there soon and its reader may leave
)
_ROUNDS = 100
_MOST_WORK = 5e9  # multiplications of the fits of a trial, about a second


def live_points(state: State, rounds: int = _ROUNDS) -> Iterator[dict[str, Any]]:
    """Yield what is known at one value of ``over`` after each few trials: ``x``, ``mean``, ``sem``, ``trials``.

    Round ``k`` has seed ``k``, so the points of a state are the same whenever they are asked for. A value that the theory refuses
    is left out; where a run fails, or would take too long for a page, ``refused`` says why, once.

    Raises:
        DomainError: If the theorem is of a limit that no pipeline of finite length runs.
    """
    about = subject(state.pipeline)
    values = about.values(state)
    found = curve(state)
    known = [x for x, total in zip(found["x"], found["total"], strict=True) if total is not None]
    places = (
        [known[i] for i in sorted(set(np.linspace(0, len(known) - 1, _PLACES).round().astype(int)))] if known else []
    )
    errors: dict[float, list[np.ndarray]] = {x: [] for x in places}
    for seed in range(rounds):
        for x in list(errors):
            try:
                errors[x].append(_run(state, about, {**values, state.over: x}, seed).errors)
            except CollapseTheoryError as e:
                del errors[x]
                yield {"x": x, "refused": str(e)}
                continue
            so_far = Simulation(np.concatenate(errors[x]), seed)
            yield {"x": x, "mean": so_far.mean, "sem": so_far.sem, "trials": so_far.trials}


def _run(state: State, about: Subject, values: dict[str, Any], seed: int) -> Simulation:
    formula = about.formula(about.counted(values))
    if formula.pipeline is None:
        raise DomainError(
            f"{about.title} is the limit of many rounds, which no finite pipeline runs; choose the theorem before it"
        )
    pipe, rest = formula.described(values)
    spectrum, target = state.measures()
    work = _work(pipe, rest, int(spectrum.d))
    if work > _MOST_WORK:
        raise DomainError(
            f"a run needs at most {_MOST_WORK:.0e} multiplications in the explorer, got {work:.0e} at "
            f"{state.over}={values[state.over]:g}; take fewer rows or rounds, or use ct.simulate"
        )
    return simulate(pipe, model=formula.model, spectrum=spectrum, target=target, trials=_TRIALS, seed=seed, **rest)


def _work(pipe: Pipeline, values: dict[str, Any], d: int) -> float:
    """Return how many multiplications the normal equations of all fits take, N d min(N, d) each."""
    rows = [_number(fit.N, values) for fit in pipe.fits]
    return sum(n * d * min(n, d) for n in rows)


def _number(e: Expr, values: dict[str, Any]) -> float:
    return float(e.subs({x: values[x.name] for x in e.free_symbols}))
