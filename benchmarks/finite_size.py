"""Measure what finite size adds to every proportional theorem, and what its first correction leaves.

``python benchmarks/finite_size.py`` prints the table at d = 50, in half a minute. ``--write`` (``make finite-size``) measures all
sizes, in about ten minutes on one core, and writes the table of ``docs/finite_size.md``. Trials are kept under
``out/finite_size`` and not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import collapse_theory as ct

BETA = 1.2
SIZES = (50, 100, 200, 400)
AIM = 0.001
"""Relative standard error at which a simulation is precise enough."""
FEWEST = 8
"""Trials at least."""
SECONDS = 12.0
"""Time after which one simulation of ``--write`` is not made longer."""
KEPT = Path("out/finite_size")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "finite_size.md"
MARKS = "<!-- the table: make finite-size -->", "<!-- end of the table -->"

POINTS: Mapping[str, Mapping[str, Any]] = {
    "ridge-clean": {},
    "ridge-replace": {"n": 2, "T0": 1.5},
    "ridge-chain": {"n": 2, "T0": 1.5},
    "ridge-replace-overparametrized": {"n": 2, "T0": 0.5},
    "ridge-replace-same-design": {"n": 2, "T0": 0.5},
    "ridge-accumulate": {"n": 3},
    "ridge-accumulate-constant": {"n": 3},
    "ridge-keep-real": {"n": 2, "T0": 1.5},
    "ridge-same-design": {"n": 2},
    "ridge-label-mix": {"n": 2, "w": 0.6},
    "ridge-label-mix-limit": {"w": 0.6},
    "minnorm-label-mix": {"w": 0.6},
    "strong-collapse": {"N": 2, "p1": 0.5, "p2": 0.5},
}
COMMON = {"T": 2, "lam": 0.01, "lam0": 0.01, "sigma": 0.3, "sigma0": 0.3}
"""Values of every theorem; rows in units of d."""
OFFSET_ROWS = 3
"""Rows of the least-squares generator behind ``strong-collapse``, in units of d: its covariance is the offset's."""


def settings(slug: str, d: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the measure and the values of a theorem at a size: eigenvalues of mean one, so that df1 grows with d."""
    values = {**COMMON, **POINTS[slug]}
    names = {x.name for x in ct.catalog[slug].error.free_symbols} - {"d"}
    values = {k: round(v * d) if k in {"T", "T0", "N"} else v for k, v in values.items() if k in names}
    shape = np.arange(1, d + 1) ** -BETA
    spectrum: Any = ct.PowerLaw(d, beta=BETA, scale=d / float(shape.sum()))
    if slug == "strong-collapse":
        offset = COMMON["sigma0"] ** 2 / spectrum.eigenvalues / (OFFSET_ROWS * d - d - 1)
        spectrum = {"Sigma": spectrum, "Delta": ct.Eigenvalues(offset)}
    return {"spectrum": spectrum, "target": ct.RandomTarget()}, values


def pipeline(slug: str, values: Mapping[str, Any]) -> ct.Pipeline:
    """Return the pipeline of a theorem at numbers."""
    if slug != "strong-collapse":
        return ct.catalog[slug].pipeline(**values)
    pipe, half = ct.Pipeline(), values["N"] // 2
    generator = pipe.fit(pipe.sample(T=OFFSET_ROWS * half, noise=COMMON["sigma0"]))  # N = 2 d
    samples = [pipe.sample(T=half, noise=values["sigma"], source=source) for source in (ct.TRUTH, generator)]
    pipe.fit(samples, ridge=values["lam"])
    return pipe


def error_given_inputs(pipe: ct.Pipeline, s: np.ndarray, energies: np.ndarray, rng: np.random.Generator) -> float:
    """Return the mean error of the last fit over label noise and signs of the target, at inputs drawn once.

    Their part of the spread is taken out by hand: backwards from the tested fit, with what a change of each fit, and of each
    sample's labels, changes in it. No formula of the package is used.
    """
    inputs: dict[Any, np.ndarray] = {}
    for sample in pipe.samples:
        if sample.inputs not in inputs:
            inputs[sample.inputs] = rng.standard_normal((int(sample.T), s.size)) * np.sqrt(s)
    by_fit: dict[Any, np.ndarray] = {pipe.fits[-1]: np.eye(s.size)}
    by_labels: dict[Any, np.ndarray] = {}
    for fit in reversed(pipe.fits):
        if fit not in by_fit:
            continue
        rows = [float(a) / float(fit.N) * inputs[x.inputs].T for a, x in zip(fit.weights, fit.samples, strict=True)]
        gram = sum(left @ inputs[x.inputs] for left, x in zip(rows, fit.samples, strict=True))
        distinct = [inputs[x] for x in dict.fromkeys(x.inputs for x in fit.samples)]
        inverse = solved(gram, float(fit.ridge or 0), by_fit.pop(fit), sum(map(len, distinct)))
        for left, x in zip(rows, fit.samples, strict=True):
            labels = inverse @ left
            by_labels[x] = by_labels.get(x, 0) + labels
            moved = labels @ inputs[x.inputs]
            for labeller, share in x.source:
                by_fit[labeller] = by_fit.get(labeller, 0) + float(share) * moved
    noise = sum(float(x.noise or 0) ** 2 * s @ (labels**2).sum(axis=1) for x, labels in by_labels.items())
    return float(s @ (by_fit[ct.TRUTH] - np.eye(s.size)) ** 2 @ energies + noise)


def solved(gram: np.ndarray, ridge: float, left: np.ndarray, rows: int) -> np.ndarray:
    """Return ``left (gram + ridge)^-1``; of fewer rows than directions and without a ridge, on the range of the Gram matrix."""
    if ridge or rows >= len(gram):
        return np.linalg.solve(gram + ridge * np.eye(len(gram)), left.T).T
    return left @ np.linalg.pinv(gram, rcond=1e-10, hermitian=True)


def simulated(slug: str, d: int, seconds: float) -> np.ndarray:
    """Return errors of independent trials, precise enough or as many as the time allows; finished ones are kept."""
    measure, values = settings(slug, d)
    pipe = pipeline(slug, values)
    spectrum = measure["spectrum"]
    spectrum = spectrum["Sigma"] if slug == "strong-collapse" else spectrum
    problem = repr((d, BETA, COMMON, OFFSET_ROWS, sorted(values.items()), measure["target"]))
    path = KEPT / f"{slug}-{d}.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    errors = kept["errors"] if kept.get("problem") == problem else []
    begun = saved = time.monotonic()
    while True:
        enough = len(errors) >= FEWEST and (sem(errors) <= AIM * np.mean(errors) or time.monotonic() - begun > seconds)
        if enough or time.monotonic() - saved > 1:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"problem": problem, "errors": errors}))
            saved = time.monotonic()
        if enough:
            return np.array(errors)
        rng = np.random.default_rng(np.random.SeedSequence(d, spawn_key=(len(errors),)))
        errors.append(error_given_inputs(pipe, spectrum.eigenvalues, measure["target"].energies(spectrum), rng))


def sem(errors: Any) -> float:
    """Return the standard error of the mean."""
    return float(np.std(errors, ddof=1)) / math.sqrt(len(errors))


@dataclass(frozen=True)
class Row:
    """One theorem at one size, in per cent of the theory: the gap, the gap of the corrected formula, the standard error."""

    gap: float
    left: float | None
    sem: float


def row(slug: str, d: int, seconds: float) -> Row:
    """Return the measured gaps."""
    measure, values = settings(slug, d)
    err, errors = ct.catalog[slug].error, simulated(slug, d, seconds)
    theory, mean = err.evaluate(**measure, **values), float(errors.mean())
    try:
        left = 100 * (mean / err.corrected().evaluate(**measure, **values) - 1)
    except ct.DomainError:
        left = None
    return Row(100 * (mean / theory - 1), left, 100 * sem(errors) / theory)


def table(sizes: tuple[int, ...], seconds: float) -> str:
    """Return the table in Markdown."""
    head = ["theorem", *(f"$d={d}$" for d in sizes)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for slug in POINTS:
        rows = [row(slug, d, seconds) for d in sizes]
        lines.append("| " + " | ".join([f"`{slug}`", *(f"{x.gap:+.2f} ± {x.sem:.2f}" for x in rows)]) + " |")
        if rows[0].left is not None:
            lines.append("| " + " | ".join(["… corrected", *(f"{x.left:+.2f} ± {x.sem:.2f}" for x in rows)]) + " |")
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--write", action="store_true", help="measure all sizes and write the page")
    if not arguments.parse_args().write:
        print(table(SIZES[:1], SECONDS / 6))
        return
    text = PAGE.read_text()
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{table(SIZES, SECONDS)}\n\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
