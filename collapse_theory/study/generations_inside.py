"""Generation by generation: the test error, which only the truth can tell, beside what is seen from inside."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from collapse_theory.core.errors import PipelineError, shown
from collapse_theory.derive.inside import gcv, training_error
from collapse_theory.derive.test_error import test_error
from collapse_theory.describe.data import Dataset
from collapse_theory.describe.pipeline import Fit, Pipeline
from collapse_theory.simulate.trials import Simulation, simulate

__all__ = ["SEEN", "SeenPoint", "as_csv", "generations_inside"]

SEEN = {
    "test error": "test error on noisy labels",
    "cross-validation": "cross-validation",
    "training error": "training error",
}
"""What is measured, and what it is called."""


@dataclass(frozen=True)
class SeenPoint:
    """One quantity of one fit.

    Attributes:
        generation: Position of the fit, from 0.
        measured: A key of :data:`SEEN`.
        theory: Its value by theory; the noise of the labels is part of all three.
        simulated: Its simulations, by the kind of inputs.
    """

    generation: int
    measured: str
    theory: float
    simulated: dict[str, Simulation]


def generations_inside(pipeline: Pipeline, data: Dataset, trials: int = 40, seed: int = 0) -> list[SeenPoint]:
    """Return test error, cross-validation and training error of every fit: theory, Gaussian inputs, real inputs.

    Args:
        pipeline: A linear pipeline of numbers; the labels of a fit's first sample say what noise a test label has.
        data: The inputs, and the truth.
        trials: Runs of each simulation.
        seed: Of the random numbers.

    Raises:
        PipelineError: If the pipeline has symbols, or is not covered.

    >>> from collapse_theory.describe.data import dataset
    >>> from collapse_theory.describe.pipeline import Stage
    >>> from collapse_theory.describe.workflows import replace
    >>> stage = Stage(T=90, noise=0.3, ridge=0.1)
    >>> points = generations_inside(replace(1, stage, stage), dataset("digits"), trials=2)
    >>> truth, seen = ([p.theory for p in points if p.measured == m] for m in ("test error", "cross-validation"))
    >>> truth[0] < truth[1], seen[0] > seen[1]
    (True, True)
    """
    if pipeline.free_symbols:
        raise PipelineError(f"pipeline needs numbers, got symbols {shown(pipeline.free_symbols)}; give their values")
    about: dict[str, Any] = {"spectrum": data.spectrum, "target": data.target}
    inputs: dict[str, dict[str, Any]] = {"gaussian": about, "real": {"inputs": data.X, "targets": data.y}}
    points = []
    for k, fit in enumerate(pipeline.fits):
        noise = float(fit.samples[0].noise or 0)
        for measured in SEEN:
            extra = noise**2 if measured == "test error" else 0.0
            runs = {
                kind: _shifted(simulate(pipeline, model=fit, measured=measured, trials=trials, seed=seed, **how), extra)
                for kind, how in inputs.items()
            }
            points.append(SeenPoint(k, measured, _theory(pipeline, fit, measured, about) + extra, runs))
    return points


def _theory(pipeline: Pipeline, fit: Fit, measured: str, about: dict[str, Any]) -> float:
    ask = {"test error": test_error, "training error": training_error, "cross-validation": gcv}[measured]
    return float(ask(pipeline, fit).evaluate(**about))


def _shifted(sim: Simulation, extra: float) -> Simulation:
    return Simulation(sim.errors + extra, sim.seed)


def as_csv(points: Sequence[SeenPoint]) -> str:
    """Return the points as a table with one row per quantity and fit."""
    out = io.StringIO()
    kinds = list(points[0].simulated)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["generation", "measured", "theory", *(f"{kind} {x}" for kind in kinds for x in ("mean", "sem"))])
    for p in points:
        writer.writerow(
            [p.generation, p.measured, p.theory, *(x for k in kinds for x in (p.simulated[k].mean, p.simulated[k].sem))]
        )
    return out.getvalue()
