"""What several tests pose or ask: small problems, drawn formulas, the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from typer.testing import CliRunner

import collapse_theory as ct
from collapse_theory.cli.main import app
from collapse_theory.symbols import d, lam, sigma
from tests.points import POINTS, D

ROOT = Path(__file__).resolve().parent.parent


EXPLORER = (
    sys.executable,
    "-c",
    "from collapse_theory.cli.main import run; run()",
    "explore",
    "--port",
    "0",
    "--no-browser",
)


# ---------------------------------------------------------------- simulations of a moment
SMALL = {"spectrum": ct.PowerLaw(6, beta=1), "target": ct.RandomTarget()}
THREE_ROWS = {"inputs": np.arange(6.0).reshape(3, 2) ** 2, "targets": np.array([1.0, 0.0, 2.0])}


def three_rounds(T=10, **stage):
    return ct.workflows.accumulate(3, ct.Stage(T=T, noise=0.5, **stage))


# ---------------------------------------------------------------- formulas with what they are evaluated at
SPECTRUM, OTHER = ct.PowerLaw(D, beta=1.2), ct.Eigenvalues(np.linspace(2, 0.2, D))
TARGET = ct.Energies(np.linspace(1, 2, D))


def theorem(slug):
    """Return a theorem's formula, its spectra and the values of its test point."""
    err = ct.catalog[slug].error
    needs = err.family is None
    common = ct.Isotropic(D) if err.isotropic else SPECTRUM
    spectra = {"Sigma": common} | ({"Delta": OTHER} if slug.endswith(("strong-collapse", "domain-mixture")) else {})
    return err, spectra if needs else None, POINTS[slug].values


def drawn(seed):
    """Return the formula of a drawn pipeline: chains, pooled fits and reused inputs, on one covariance or two."""
    rng = np.random.default_rng([seed, 13])
    pipe, samples, fits = ct.Pipeline(), [], []
    for _ in range(rng.integers(1, 4)):
        source = 0.7 * fits[-1] + 0.3 * ct.TRUTH if fits and rng.random() < 0.5 else fits[-1] if fits else ct.TRUTH
        where = {"T": int(rng.choice([8, 20, 35]))}
        if seed % 4 == 3:
            where["covariance"] = str(rng.choice(["Sigma", "Sigma1"]))
        if samples and rng.random() < 0.3:
            where = {"design": samples[0]}
        samples.append(pipe.sample(noise=sigma, source=source, **where))
        pooled = [samples[-1]] if seed % 4 == 0 else [samples[i] for i in {0, len(samples) - 1}]
        fits.append(pipe.fit(pooled, ridge=lam if rng.random() < 0.5 else 0.1))
    pipe.fit(pipe.sample(T=18, noise=sigma, source=fits[-1]), ridge=lam)
    spectra = {"Sigma": SPECTRUM, "Sigma1": OTHER} if seed % 4 == 3 else {"Sigma": SPECTRUM}
    return ct.test_error(pipe), spectra, {"lam": 0.07, "sigma": 0.3}


def bound(err, values):
    """Return the values of all symbols of a formula, exactly."""
    known = {x: values[x.name] for x in err.free_symbols if x.name in values}
    return known | dict(err.numbers) | ({d: D} if d in err.free_symbols else {})


@st.composite
def problems(draw):
    d = draw(st.integers(2, 12))
    scale = 10.0 ** draw(st.integers(-12, 12))
    s = [scale * 10.0 ** draw(st.floats(-6, 1)) for _ in range(d)]
    if d > 3 and draw(st.booleans()):
        s[-1] = 0.0
    w2 = [draw(st.floats(0.01, 10)) / scale for _ in range(d)]
    rank = sum(x > 0 for x in s)
    T = draw(st.integers(1, 30).filter(lambda T: rank != T) | st.floats(0.5, 40).filter(lambda T: abs(T - rank) > 1e-3))
    lam = scale * draw(st.just(0.0) | st.floats(-12, 9).map(lambda x: 10.0**x))
    return s, w2, T, lam


# ---------------------------------------------------------------- the command line
CHAIN = """
title = "A chain"
spectrum = "isotropic:d=6"
target = "random:norm2=1"
seed = 3
trials = 20
[[sample]]
name = "real"
T = 40
noise = 0.5
[[fit]]
name = "m1"
data = ["real"]
ridge = 0.1
[[sample]]
name = "fake"
T = 60
noise = 0.3
source = "m1"
[[fit]]
name = "m2"
data = ["fake"]
ridge = "lam"
[sweep]
lam = "0.05,0.2,0.8"
"""


def chain_terms(lam, d=6, norm2=1.0):
    pipe = ct.workflows.replace(1, ct.Stage(T=40, noise=0.5, ridge=0.1), ct.Stage(T=60, noise=0.3, ridge=lam))
    err = ct.test_error(pipe)
    return err.evaluate(spectrum=ct.Isotropic(d), target=ct.RandomTarget(norm2=norm2), terms=True)


def call(*arguments: str, code: int = 0):
    """Return the result of a command that ends with the exit code."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def call_json(*arguments: str, code: int = 0):
    return json.loads(call(*arguments, "--json", code=code).stdout)
