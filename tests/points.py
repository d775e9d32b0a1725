"""A point for every theorem of the catalogue: where the menu evaluates it, where it is simulated, and the edges of its domain.

A theorem without an entry fails the menu. ``values`` are for the small measure of the menu (rank 12), ``simulated`` for the runs;
a limit is not simulated but tied to the theorem it is the limit of. Edges name a value that is refused and one that is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import collapse_theory as ct
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.theorems.distillation import best_mixing
from collapse_theory.theorems.ensembles import mean_model
from tests import naive

__all__ = ["EIGENVALUES", "ENERGIES", "MEASURE", "OFFSETS", "POINTS", "D", "Point"]

# The small measure of the menu.
D = 12
EIGENVALUES = np.arange(1, D + 1) ** -1.2
ENERGIES = np.linspace(1, 2, D)
OFFSETS = np.linspace(0.2, 0.1, D)
MEASURE = {
    "spectrum": {"Sigma": ct.Eigenvalues(EIGENVALUES), "Delta": ct.Eigenvalues(OFFSETS)},
    "target": ct.Energies(ENERGIES),
}
TINY = 1e-9
GRID = np.linspace(0.4, 1.6, 40)
ENERGY = np.linspace(1.6, 0.4, 40) / 20


@dataclass(frozen=True)
class Point:
    """How the menu treats one theorem.

    Attributes:
        values: One value per symbol.
        edges: By symbol, values just outside the domain and just inside it.
        simulated: Values of the simulated pipeline; None for a limit.
        family: Returns the naive simulation of the rows.
        measure: Spectrum and target of the simulated theory.
        allowance: Relative gap that the size of the simulated system may explain.
        runs: Number of runs.
        build: Pipeline of the runs where the theorem has none that can be simulated.
    """

    values: dict[str, Any]
    edges: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    simulated: dict[str, Any] | None = None
    family: Callable[[], Any] = lambda: naive.Linear(GRID, ENERGY)
    measure: dict[str, Any] = field(
        default_factory=lambda: {"spectrum": ct.Eigenvalues(GRID), "target": ct.Energies(ENERGY)}
    )
    allowance: float = 0.0
    runs: int = 2500
    build: Callable[..., ct.Pipeline] | None = None

    def each_edge(self):
        """Yield (symbol, refused value, accepted value); the values of a symbol come in pairs."""
        for name, ends in self.edges.items():
            for i in range(0, len(ends), 2):
                yield name, ends[i], ends[i + 1]


# ---------------------------------------------------------------- least squares: exact on twelve directions
FEW = np.linspace(0.5, 1.5, D)
ROWS, NOISE, SHARE, COUNT = (D + 1, D + 2), (-TINY, 0), (1 + TINY, 1), (0, 1)
OLS = {"T": 40, "sigma": 0.5}
EXACT = {
    "family": lambda: naive.Linear(FEW, np.ones(D) / D),
    "measure": {"spectrum": ct.Eigenvalues(FEW), "target": ct.RandomTarget()},
    "runs": 8000,
}
LEAST_SQUARES = {
    "ols-replace": Point(
        {**OLS, "T0": 37, "n": 2, "sigma0": 0.7},
        {"T": ROWS, "T0": ROWS, "n": (-1, 0), "sigma": NOISE, "sigma0": NOISE},
        {"T": 60, "T0": 80, "n": 2, "sigma": 0.5, "sigma0": 0.4},
        **EXACT,
    ),
    "ols-accumulate": Point(
        {**OLS, "n": 2}, {"T": ROWS, "n": COUNT, "sigma": NOISE}, {"T": 40, "n": 3, "sigma": 0.5}, **EXACT
    ),
    "ols-accumulate-limit": Point(OLS, {"T": ROWS, "sigma": NOISE}),
    "ols-accumulate-fixed-design": Point(
        {**OLS, "n": 2}, {"T": ROWS, "n": COUNT, "sigma": NOISE}, {"T": 60, "n": 3, "sigma": 0.5}, **EXACT
    ),
    "ols-accumulate-fixed-design-limit": Point(OLS, {"T": ROWS, "sigma": NOISE}),
    "ols-mix-fixed-design": Point(
        {**OLS, "n": 2, "w": 0.6},
        {"T": ROWS, "n": (-1, 0), "sigma": NOISE, "w": SHARE},
        {"T": 60, "n": 3, "sigma": 0.5, "w": 0.3},
        **EXACT,
    ),
    "ols-mix-precision": Point(
        {**OLS, "n": 2, "w": 0.6, "k": 2.5},
        {"T": ROWS, "n": (-1, 0), "sigma": NOISE, "w": SHARE, "k": (-TINY, 0.5)},
        {"T": 60, "n": 3, "sigma": 0.5, "w": 0.3, "k": 2.5},
        **EXACT,
    ),
    "ols-mix-precision-limit": Point(
        {**OLS, "w": 0.6, "k": 2.5}, {"T": ROWS, "sigma": NOISE, "w": (0, TINY, *SHARE), "k": (-TINY, 0.5)}
    ),
    "ols-mix-precision-best": Point(
        {**OLS, "k": 2.5},
        {"T": ROWS, "sigma": NOISE, "k": (-TINY, 0.5)},
        {"T": 60, "sigma": 0.5, "k": 2.5},
        **EXACT | {"runs": 4000},
    ),
    "ols-fresh-real": Point(
        {"T": 36, "N": 60, "n": 2, "sigma": 0.5, "sigma0": 0.7},
        {"T": ROWS, "N": (35, 36), "n": (-1, 0), "sigma": NOISE, "sigma0": NOISE},
        {"T": 20, "N": 50, "n": 2, "sigma": 0.5, "sigma0": 0.7},
        **EXACT,
    ),
    "ols-fresh-real-limit": Point(
        {"T": 36, "N": 60, "sigma": 0.5, "sigma0": 0.7},
        {"T": ROWS, "N": (35, 36), "sigma": NOISE, "sigma0": NOISE},
    ),
}

# ---------------------------------------------------------------- ridge: proportional on forty directions
CLEAN = {"T": 40, "lam": 0.05, "sigma": 0.5}
SIZE = {"T": 250, "lam": 0.1, "sigma": 0.7}
SMALLER = {"T": 120, "T0": 80, "m": 60, "lam": 0.3, "lam0": 0.3, "sigma": 1.0, "sigma0": 1.0}
AT = {"lam": NOISE, "sigma": NOISE}
ROUND = {"family": lambda: naive.Linear(np.ones(40), ENERGY), "measure": {"spectrum": ct.Isotropic(40)}}
OFFSET = np.linspace(0.05, 0.15, 40)


def best_mixing_of(**values):
    """Return the mixing that is best for the simulated measure, as a number."""
    found = ErrorFormula({"xi": best_mixing()}, "proportional")
    return round(float(found.evaluate(spectrum=ct.Eigenvalues(GRID), target=ct.Energies(ENERGY), **values)), 12)


def copied_ensemble(K, T, lam, sigma):
    """Return a pipeline whose last fit is the mean of K fits: noise-free least squares on labels of the mean."""
    pipe = ct.Pipeline()
    mean = mean_model([pipe.fit(pipe.sample(T=T, noise=sigma), ridge=lam) for _ in range(K)])
    pipe.fit(pipe.sample(T=2 * len(GRID), source=mean))
    return pipe


RIDGE = {
    "ridge-clean": Point(CLEAN, {"T": (-TINY, 0.5), **AT}, SIZE, allowance=0.01),
    "ridge-replace": Point(
        {**CLEAN, "T0": 37, "n": 2, "sigma0": 0.7},
        {"T0": ROWS, "n": (-1, 0), "sigma0": NOISE, **AT},
        {**SIZE, "T0": 200, "n": 2, "sigma0": 0.5},
        allowance=0.01,
    ),
    **{
        slug: Point(
            {**CLEAN, "T0": 7, "n": 2, "sigma0": 0.7},
            {"T0": (D, D - 1), "n": least, "sigma0": NOISE, **AT},
            {"T": 100, "T0": 25, "n": 2, "lam": 0.5, "sigma": 1.0, "sigma0": 0.5},
            allowance=0.015,
        )
        for slug, least in (("ridge-replace-overparametrized", (-1, 0)), ("ridge-replace-same-design", (0, 1)))
    },
    "minnorm-replace-isotropic": Point(
        {"T0": 7, "n": 2, "sigma0": 0.7, "rho2": 1.5},
        {"T0": (D - 1, D - 2), "n": (-1, 0), "sigma0": NOISE, "rho2": NOISE},
        {"T0": 25, "n": 2, "sigma0": 0.6, "rho2": ENERGY.sum()},
        **ROUND,
    ),
    "minnorm-same-design": Point(
        {"T0": 7, "n": 2, "sigma0": 0.7, "rho2": 1.5},
        {"T0": (D - 1, D - 2), "n": (-1, 0), "sigma0": NOISE, "rho2": NOISE},
        {"T0": 25, "n": 2, "sigma0": 0.4, "rho2": ENERGY.sum()},
        **ROUND,
    ),
    "minnorm-replace": Point(
        {"T": 7, "T0": 37, "n": 2, "sigma": 0.5, "sigma0": 0.7, "rho2": 1.5},
        {"T": (D - 1, D - 2), "T0": ROWS, "n": (-1, 0), "sigma": NOISE, "sigma0": NOISE, "rho2": NOISE},
        {"T": 25, "T0": 60, "n": 2, "sigma": 0.6, "sigma0": 0.6, "rho2": ENERGY.sum()},
        **ROUND,
    ),
    "minnorm-fresh-mix": Point(
        {"T": 7, "n": 2, "sigma": 0.5, "w": 0.3, "rho2": 1.5},
        {"T": (D - 1, D - 2), "n": (-1, 0), "sigma": NOISE, "w": SHARE, "rho2": NOISE},
        {"T": 25, "n": 2, "sigma": 0.8, "w": 0.3, "rho2": ENERGY.sum()},
        **ROUND,
    ),
    "minnorm-fresh-mix-limit": Point(
        {"T": 7, "sigma": 0.5, "w": 0.3, "rho2": 1.5},
        {"T": (D - 1, D - 2), "sigma": NOISE, "w": SHARE, "rho2": NOISE},
    ),
    "ridge-replace-overparametrized-limit": Point(
        {**CLEAN, "T0": 7, "sigma0": 0.7}, {"T0": (D, D - 1), "sigma0": NOISE, **AT}
    ),
    "ridge-chain": Point(
        {**CLEAN, "T0": 37, "n": 2, "lam0": 0.1, "sigma0": 0.7},
        {"n": (-1, 0), "lam0": NOISE, "sigma0": NOISE, **AT},
        {**SIZE, "T0": 200, "n": 2, "lam0": 0.2, "sigma0": 0.7},
        allowance=0.015,
    ),
    "flow-replace": Point(
        {"T": 40, "T0": 10, "n": 2, "t": 2.5, "t0": 1.5, "sigma": 0.5, "sigma0": 0.7},
        {"n": (-1, 0), "t": (0, 1e-9), "t0": (0, 1e9), "sigma": NOISE, "sigma0": NOISE, "T": (0, 0.5), "T0": (0, 0.5)},
        {"T": 90, "T0": 120, "n": 2, "t": 3.0, "t0": 5.0, "sigma": 0.5, "sigma0": 0.7},
        allowance=0.015,
    ),
    "ridge-accumulate": Point({**CLEAN, "n": 2}, {"n": COUNT, **AT}, {**SIZE, "T": 160, "n": 2}, allowance=0.01),
    "ridge-accumulate-constant": Point(
        {**CLEAN, "n": 2}, {"n": COUNT, **AT}, {**SIZE, "T": 160, "n": 3}, allowance=0.01
    ),
    "ridge-keep-real": Point(
        {**CLEAN, "T0": 37, "n": 2, "sigma0": 0.7},
        {"n": (-1, 0), "sigma0": NOISE, **AT},
        {**SIZE, "T": 160, "T0": 120, "n": 2, "sigma0": 0.8},
        allowance=0.015,
    ),
    "ridge-same-design": Point(
        {**CLEAN, "n": 2, "lam0": 0.1, "sigma0": 0.7},
        {"n": (-1, 0), "lam0": NOISE, "sigma0": NOISE, **AT},
        {**SIZE, "n": 2, "lam0": 0.2, "sigma0": 0.6},
        allowance=0.015,
    ),
    "ridge-label-mix": Point(
        {**CLEAN, "n": 2, "w": 0.6}, {"n": (-1, 0), **AT}, {**SIZE, "n": 2, "w": 0.6}, allowance=0.015
    ),
    "ridge-label-mix-limit": Point(
        {**CLEAN, "w": 0.6}, {"w": (0, TINY, *SHARE), **AT}, {**SIZE, "w": 0.6}, allowance=0.015, runs=2000
    ),
    "minnorm-label-mix": Point(
        {"T": 40, "sigma": 0.5, "w": 0.6}, {"w": (0, TINY, *SHARE), "sigma": NOISE}, {"T": 250, "sigma": 0.7, "w": 0.4},
        allowance=0.01, runs=2500
    ),
    "self-distillation": Point({**CLEAN, "xi": -0.7}, AT, {**SIZE, "lam": 0.3, "xi": 0.6}, allowance=0.015),
    "self-distillation-best": Point(
        CLEAN,
        {"lam": (0, TINY), "sigma": NOISE},
        {**SIZE, "lam": 0.5},
        allowance=0.015,
        build=lambda **values: ct.catalog["self-distillation"].pipeline(**values, xi=best_mixing_of(**values)),
    ),
    "self-distillation-repeated": Point(
        {**CLEAN, "n": 2, "xi": 0.4}, {"n": (-1, 0), **AT}, {**SIZE, "n": 2, "xi": -0.6}, allowance=0.015
    ),
    "ensemble": Point(
        {**CLEAN, "K": 3},
        {"K": COUNT, **AT},
        {"T": 60, "K": 3, "lam": 0.1, "sigma": 0.7},
        allowance=0.015,
        build=copied_ensemble,
    ),
    "ensemble-blocks": Point(
        {"N": 60, "K": 3, "lam": 0.05, "sigma": 0.5},
        {"K": COUNT, **AT},
        {"N": 180, "K": 3, "lam": 0.1, "sigma": 0.7},
        allowance=0.015,
        build=lambda K, N, lam, sigma: copied_ensemble(K, N // K, lam, sigma),
    ),
    "ensemble-teachers": Point(
        {**CLEAN, "K": 3, "T0": 37, "lam0": 0.1, "sigma0": 0.7},
        {"K": COUNT, "lam0": NOISE, "sigma0": NOISE, **AT},
        {**SIZE, "K": 3, "T0": 60, "lam0": 0.2, "sigma0": 0.7},
        allowance=0.015,
    ),
    "gcv-synthetic": Point(
        {**CLEAN, "T0": 37, "lam0": 0.1, "sigma0": 0.7},
        {"lam0": NOISE, "sigma0": NOISE, **AT},
        {**SIZE, "T0": 100, "lam0": 0.2, "sigma0": 0.7},
        family=lambda: naive.CrossValidated(GRID, ENERGY),
        allowance=0.01,
        runs=1000,
    ),
    "strong-collapse": Point(
        {"N": 60, "p1": 0.6, "p2": 0.4, "lam": 0.05, "sigma": 0.5},
        {"p1": (0.6 + TINY, 0.6), "p2": (0.4 - TINY, 0.4), **AT},
        {"N": 300, "p1": 0.6, "p2": 0.4, "lam": 0.1, "sigma": 0.7},
        family=lambda: naive.OffsetLinear(GRID, ENERGY, OFFSET, synthetic=2),
        measure={
            "spectrum": {"Sigma": ct.Eigenvalues(GRID), "Delta": ct.Eigenvalues(OFFSET)}, "target": ct.Energies(ENERGY)
        },
        allowance=0.01,
    ),
    "domain-mixture": Point(
        {"N": 60, "p1": 0.6, "p2": 0.4, "lam": 0.05, "sigma": 0.5, "theta": 0.7},
        {"p1": (0.6 + TINY, 0.6), "p2": (0.4 - TINY, 0.4), **AT},
        {"N": 300, "p1": 0.6, "p2": 0.4, "lam": 0.1, "sigma": 0.7, "theta": 0.3},
        family=lambda: naive.OffsetLinear(GRID, ENERGY, OFFSET, synthetic=2, overlap=0.3),
        measure={
            "spectrum": {"Sigma": ct.Eigenvalues(GRID), "Delta": ct.Eigenvalues(OFFSET)}, "target": ct.Energies(ENERGY)
        },
        allowance=0.01,
    ),
    "ols-strong-collapse": Point(
        {"N": 60, "p1": 0.6, "p2": 0.4, "sigma": 0.5},
        {"N": ROWS, "p1": (0.6 + TINY, 0.6), "p2": (0.4 - TINY, 0.4), "sigma": NOISE},
        {"N": 80, "p1": 0.6, "p2": 0.4, "sigma": 0.7},
        family=lambda: naive.OffsetLinear(GRID, ENERGY, OFFSET, synthetic=2),
        measure={
            "spectrum": {"Sigma": ct.Eigenvalues(GRID), "Delta": ct.Eigenvalues(OFFSET)}, "target": ct.Energies(ENERGY)
        },
    ),
    "random-features-ridge": Point(
        {**CLEAN, "m": 30},
        {"m": (1 - TINY, 1), **AT},
        {**SIZE, "m": 150},
        allowance=0.015,
    ),
    "weak-to-strong": Point(
        {**CLEAN, "m": 30, "T0": 37, "m0": 9, "lam0": 0.1, "sigma0": 0.7},
        {"m": (1 - TINY, 1), "m0": (1 - TINY, 1), "lam0": NOISE, "sigma0": NOISE, **AT},
        {**SMALLER, "m0": 50},
        allowance=0.015,
    ),
    "features-chain": Point(
        {**CLEAN, "n": 2, "m": 30, "T0": 37, "m0": 9, "lam0": 0.1, "sigma0": 0.7},
        {"n": (-1, 0), "m": (1 - TINY, 1), "m0": (1 - TINY, 1), "lam0": NOISE, "sigma0": NOISE, **AT},
        {**SMALLER, "m0": 50, "n": 2},
        allowance=0.015,
    ),
    "features-replace": Point(
        {**CLEAN, "n": 2, "m": 30, "T0": 37, "lam0": 0.1, "sigma0": 0.7},
        {"n": (-1, 0), "m": (1 - TINY, 1), "lam0": NOISE, "sigma0": NOISE, **AT},
        {**SMALLER, "n": 2},
        allowance=0.015,
    ),
    "random-features-strong-collapse": Point(
        {"N": 60, "p1": 0.6, "p2": 0.4, "lam": 0.05, "sigma": 0.5, "m": 30},
        {"p1": (0.6 + TINY, 0.6), "p2": (0.4 - TINY, 0.4), "m": (1 - TINY, 1), **AT},
        {"N": 300, "p1": 0.6, "p2": 0.4, "lam": 0.1, "sigma": 0.7, "m": 150},
        family=lambda: naive.OffsetLinear(GRID, ENERGY, OFFSET, synthetic=2),
        measure={
            "spectrum": {"Sigma": ct.Eigenvalues(GRID), "Delta": ct.Eigenvalues(OFFSET)}, "target": ct.Energies(ENERGY)
        },
        allowance=0.015,
    ),
}  # fmt: skip

# ---------------------------------------------------------------- tokens, Gaussians, regular models
TOKENS = np.linspace(1, 2, 30) / 45
FAMILIES = {
    "token": {"family": lambda: naive.Tokens(TOKENS), "runs": 4000},
    "gaussian": {"family": lambda: naive.Gaussians(10), "runs": 8000},
    "regular": {"family": lambda: naive.Locations(30, unit=20), "runs": 1500},
}
SMALL = {"token": {"T": 12, "T0": 9}, "gaussian": {"T": 12, "T0": 9}, "regular": {"T": 20, "T0": 15}}
# Rows of several models spread a little more than those of one, which leading order leaves out.
MIXED = {"family": lambda: naive.Locations(30, unit=200), "allowance": 0.01}
ONE, TWO = (0.5, 1), (1, 1.5)
# By workflow: values, edges, and whether a limit exists. ``accumulate`` starts with the first round, the others with a clean fit.
WORKFLOWS = {
    "replace": ({"n": 4}, {"T": ONE, "n": (-1, 0)}, False),
    "accumulate": ({"n": 4}, {"T": ONE, "n": COUNT}, True),
    "keep-real": ({"n": 4, "T0": 9}, {"T": ONE, "T0": ONE, "n": (-1, 0)}, True),
    "fresh-real": ({"n": 3, "T0": 9, "w": 0.625}, {"T": ONE, "T0": ONE, "w": SHARE, "n": (-1, 0)}, True),
    "random-past": ({"n": 4}, {"T": TWO, "n": COUNT}, True),
    "accumulate-subsample": ({"n": 4}, {"T": TWO, "n": COUNT}, True),
}
SCALAR = {}
for kind, how in FAMILIES.items():
    for workflow, (extra, edges, limited) in WORKFLOWS.items():
        values = {"T": 50, **extra, **({"T0": 30} if "T0" in extra else {})}
        simulated = {**extra, **{k: v for k, v in SMALL[kind].items() if k == "T" or k in extra}}
        several = kind == "regular" and workflow in {"random-past", "accumulate-subsample"}
        mixed = MIXED if several else {}
        SCALAR[f"{kind}-{workflow}"] = Point(
            values, edges, {**simulated, "T": 200} if several else simulated, **{"measure": {}, **how, **mixed}
        )
        if limited:
            SCALAR[f"{kind}-{workflow}-limit"] = Point(
                {k: v for k, v in values.items() if k != "n"}, {k: v for k, v in edges.items() if k != "n"}
            )
SCALAR["regular-fresh-real-golden"] = Point(
    {},
    simulated={},
    family=lambda: naive.Locations(30, unit=20),
    measure={},
    runs=3000,
    # rounds die out like (1 - w)^(2 n): ten are for ever
    build=lambda: ct.workflows.fresh_real(10, ct.Stage(T=20), ct.Stage(T=20), weight=(5**0.5 - 1) / 2),
)
SCALAR["token-total-collapse"] = Point({"T": 5, "n": 3}, {"T": TWO, "n": (-1, 0)})

POINTS: dict[str, Point] = {**LEAST_SQUARES, **RIDGE, **SCALAR}
