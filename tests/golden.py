"""The golden file: values, digits, LaTeX and a slope of every theorem and of 200 drawn pipelines, to be kept by every refactoring.

``python -m tests.golden`` writes ``tests/golden.json``. A number that moves by more than 1e-13, or a formula that prints in
another way, shows in :mod:`tests.test_golden`; write the file anew only where that was the purpose, and say so in the commit.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

import collapse_theory as ct
from collapse_theory.symbols import lam, sigma

PATH = Path(__file__).with_name("golden.json")
PIPELINES = 200
D = 12
SPECTRUM = np.arange(1, D + 1) ** -1.2
OTHER = np.linspace(2, 0.2, D)
ENERGIES = np.linspace(1, 2, D)
DIGITS = 30


def pipeline(seed: int) -> tuple[ct.Pipeline, dict[str, Any], dict[str, float]]:
    """Return a pipeline drawn by a seed, its measure, and the value of its one symbol.

    By the seed modulo four: fits on inputs of their own, least squares, and twice fits that share and pool inputs.
    """
    rng = random.Random(seed)
    kind, family = seed % 4, seed % 8 == 7
    ridges = [0.0] if kind == 1 else [0.02, 0.1, 0.5]
    sizes = [20, 35] if kind == 1 else [8, 20, 35]
    pipe, samples, fits = ct.Pipeline(), [], []
    for _ in range(rng.randint(1, 3)):
        new = []
        for _ in range(rng.randint(1, 2) if kind else 1):
            source = ct.TRUTH
            if fits and rng.random() < 0.8:
                share = rng.choice([1.0, 0.7, 0.4])
                labeller = rng.choice(fits)
                source = labeller if share == 1 else share * labeller + (1 - share) * ct.TRUTH
            where: dict[str, Any] = {"T": rng.choice(sizes)}
            if family:
                where["covariance"] = rng.choice(["Sigma", "Sigma1"])
            if kind > 1 and samples and rng.random() < 0.25:
                where = {"design": rng.choice([s for s in samples if s.design is None])}
            new.append(pipe.sample(noise=rng.choice([0.0, 0.3]), source=source, **where))
        samples += new
        pooled = rng.sample(samples, rng.randint(1, min(2, len(samples)))) if kind > 1 else new
        weights = [rng.choice([1.0, 0.5, 2.0]) for _ in pooled] if kind > 1 and rng.random() < 0.3 else None
        fits.append(pipe.fit(pooled, weights=weights, ridge=rng.choice(ridges)))
    last = pipe.sample(T=18, noise=sigma, source=fits[-1])
    pipe.fit([samples[-1], last] if kind > 1 else [last], ridge=0.0 if kind == 1 else lam)
    spectrum: Any = ct.Eigenvalues(SPECTRUM)
    if family:
        spectrum = {"Sigma": spectrum, "Sigma1": ct.Eigenvalues(OTHER)}
    values = {"sigma": 0.2} | ({} if kind == 1 else {"lam": 0.07})
    return pipe, {"spectrum": spectrum, "target": ct.Energies(ENERGIES)}, values


def entry(err: ct.ErrorFormula, measure: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of one formula."""
    real = sorted(x.name for x in err.free_symbols if not x.is_integer)
    out: dict[str, Any] = {
        "value": err.evaluate(**measure, **values),
        "terms": {k: float(v) for k, v in err.evaluate(terms=True, **measure, **values).items()},
        "digits": digits(err, measure, values),
        "latex": err.latex(),
        "method": err.method,
    }
    if real:
        by = "lam" if "lam" in real else real[0]
        out |= {"by": by, "slope": err.diff(by).evaluate(**measure, **values)}
    return out


def digits(err: ct.ErrorFormula, measure: dict[str, Any], values: dict[str, Any]) -> str:
    """Return the error as a decimal, or that its digits do not settle."""
    try:
        return mpmath.nstr(err.evaluate(digits=DIGITS, **measure, **values), DIGITS, strip_zeros=False)
    except ct.ConvergenceError:
        return "refused"


def theorem(slug: str) -> tuple[ct.ErrorFormula, dict[str, Any], dict[str, Any]]:
    """Return a theorem's formula, a measure and its test point."""
    from tests.points import POINTS

    err, measure = ct.catalog[slug].error, {}
    if err.family is None:
        covariances = {"Sigma": ct.Eigenvalues(SPECTRUM)}
        if slug.endswith(("strong-collapse", "domain-mixture")):
            covariances["Delta"] = ct.Eigenvalues(OTHER)
        measure = {"spectrum": covariances, "target": ct.Energies(ENERGIES)}
        if err.isotropic:
            measure["spectrum"] = ct.Isotropic(D)
    return err, measure, POINTS[slug].values


def theorem_entry(slug: str) -> dict[str, Any]:
    """Return the entry of a theorem at its test point."""
    return entry(*theorem(slug)) | {"statement": ct.catalog[slug].statement()}


def pipeline_entry(seed: int) -> dict[str, Any]:
    """Return the entry of a drawn pipeline."""
    pipe, measure, values = pipeline(seed)
    return entry(ct.test_error(pipe), measure, values)


def names() -> list[str]:
    """Return the names of all entries."""
    return [*ct.catalog, *(f"pipeline {seed}" for seed in range(PIPELINES))]


def made(name: str) -> dict[str, Any]:
    """Return an entry by name, made now."""
    kind, _, seed = name.partition(" ")
    return pipeline_entry(int(seed)) if kind == "pipeline" else theorem_entry(name)


def reprinted(name: str, then: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with its LaTeX made now, all else as it was.

    Raises:
        AssertionError: If a value is not the one that is kept.
    """
    kind, _, seed = name.partition(" ")
    if kind == "pipeline":
        pipe, measure, values = pipeline(int(seed))
        err, printed = ct.test_error(pipe), {}
    else:
        err, measure, values = theorem(name)
        printed = {"statement": ct.catalog[name].statement()}
    now = err.evaluate(**measure, **values)
    assert abs(now - then["value"]) <= 1e-13 * abs(then["value"]), (name, now, then["value"])
    return then | printed | {"latex": err.latex()}


def main() -> None:
    """Write the file; with ``--latex`` only its LaTeX, after a look at the values."""
    if "--latex" in sys.argv:
        before = json.loads(PATH.read_text())
        PATH.write_text(
            json.dumps({k: reprinted(k, then) for k, then in before.items()}, indent=1, ensure_ascii=False) + "\n"
        )
        return
    kept = {}
    for name in names():
        kept[name] = made(name)
        sys.stderr.write(f"\r{len(kept)} of {len(names())}")
    PATH.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
