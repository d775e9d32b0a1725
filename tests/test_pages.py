"""Pages of pipelines: every name on them is defined and used, they are read back to the number, and they fit the paper."""

import shutil
import subprocess
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.present.document import _PREAMBLE
from collapse_theory.present.printer import to_latex
from tests.printed_names import loose_names

D = 12
S = ct.PowerLaw(D, 1.1)
RNG = np.random.default_rng(5)
W0, W1 = RNG.standard_normal((2, D))
ONE = {"spectrum": S, "target": ct.Coefficients(W0)}
TWO = {"spectrum": S, "target": {"w0": ct.Coefficients(W0), "w1": ct.Coefficients(W1)}}
BOTH = {
    "spectrum": {"Sigma": S, "Sigma1": ct.Eigenvalues(np.linspace(2, 0.2, D)), "Sigma2": ct.Isotropic(D)},
    "target": ct.Coefficients(W0),
}


def fits_that_see(features):
    pipe = ct.Pipeline()
    phi = pipe.features(80) if features == "shared" else features
    first = pipe.fit(pipe.sample(T=60, noise=0.5), ridge=0.1, features=phi)
    pipe.fit(pipe.sample(T=50, noise=0.3, source=first), ridge=0.2, features=phi)
    return ct.test_error(pipe)


def another_truth(between):
    pipe = ct.Pipeline()
    labeller = pipe.truth("w1")
    if between:
        labeller = pipe.fit(pipe.sample(T=40, noise=0.2, source=labeller), ridge=0.1)
    pipe.fit([pipe.sample(T=60, noise=0.5), pipe.sample(T=40, noise=0.2, source=labeller)], ridge=0.1)
    return ct.test_error(pipe)


def weights():
    pipe = ct.Pipeline()
    samples = [pipe.sample(T=60, noise=0.5), pipe.sample(T=40, noise=0.1)]
    pipe.fit(samples, weights=[2, 0.5], ridge=0.1)
    return ct.test_error(pipe)


def covariances(relabelled):
    pipe = ct.Pipeline()
    samples = [pipe.sample(T=60, noise=0.5, covariance="Sigma1"), pipe.sample(T=40, noise=0.1, covariance="Sigma2")]
    model = pipe.fit(samples, ridge=0.1)
    if relabelled:
        pipe.fit(pipe.sample(T=30, noise=0.1, source=model, covariance="Sigma1"), ridge=0.2)
    return ct.test_error(pipe, test_covariance="Sigma2")


def shared_rows():
    pipe = ct.Pipeline()
    real = pipe.sample(T=60, noise=0.5)
    model = pipe.fit(real, ridge=0.1)
    soft = pipe.sample(design=real, noise=0.2, source=0.6 * ct.TRUTH + 0.4 * model)
    pipe.fit([real, soft], weights=[1.5, 0.75], ridge=0.1)
    return ct.test_error(pipe)


def ensemble():
    pipe = ct.Pipeline()
    models = [pipe.fit(pipe.sample(T=T, noise=0.5), ridge=0.1) for T in (60, 50)]
    return ct.test_error(pipe, model=0.5 * models[0] + 0.5 * models[1])


PAGES = {
    "shared rows": (shared_rows, ONE),
    "features": (lambda: fits_that_see(70), ONE),
    "shared features": (lambda: fits_that_see("shared"), ONE),
    "another truth": (lambda: another_truth(between=False), TWO),
    "a fit of another truth": (lambda: another_truth(between=True), TWO),
    "weights": (weights, ONE),
    "two covariances": (lambda: covariances(relabelled=False), BOTH),
    "a covariance per fit": (lambda: covariances(relabelled=True), BOTH),
    "ensemble": (ensemble, ONE),
    "fixed design": (lambda: ct.test_error(ct.workflows.accumulate(2, ct.Stage(60, 0.5, 0.1), design="fixed")), ONE),
}


LONG = {"shared rows", "features", "shared features", "a covariance per fit", "fixed design"}


@cache
def page(name):
    """Return a formula, which keeps its print."""
    return PAGES[name][0]()


@pytest.mark.parametrize("name", [pytest.param(x, marks=pytest.mark.heavy) if x in LONG else x for x in PAGES])
def test_a_page_is_whole_and_read_back(name):
    err, about = page(name), PAGES[name][1]
    known = {to_latex(x) for x in err.free_symbols} | {"d", r"\Sigma", r"\Sigma_1", r"\Sigma_2", "w_1"}
    assert loose_names(err.latex(), known) == (set(), set())
    want = err.evaluate(**about)
    assert ct.read_latex(err.latex()).evaluate(**about) == pytest.approx(want, rel=1e-9)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (Debian: texlive-latex-base)")
@pytest.mark.parametrize("names", [set(PAGES) - LONG, pytest.param(LONG, marks=pytest.mark.heavy)])
def test_no_page_is_too_wide(names, tmp_path):
    pages = {name: page(name) for name in sorted(names)}
    pages["chain of any length, by its ridge"] = ct.catalog["ridge-chain"].error.diff("lam")
    pages["corrected"] = ct.test_error(
        ct.workflows.replace(1, ct.Stage(60, 0.5, 0.1), ct.Stage(50, 0.3, 0.2))
    ).corrected()
    parts = [rf"\typeout{{AT {name}}}" + f"\n\\[\n{err.latex()}\n\\]" for name, err in pages.items()]
    (tmp_path / "a.tex").write_text("\n".join([_PREAMBLE, r"\begin{document}", *parts, r"\end{document}"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    lines = [x for x in run.stdout.splitlines() if x.startswith(("AT ", r"Overfull \hbox"))]
    assert not [(a, b) for a, b in pairwise(lines) if b.startswith("Overfull")]


@pytest.mark.parametrize(("slug", "by"), [("ridge-chain", "lam"), ("ridge-replace-overparametrized", "lam")])
def test_a_derivative_of_any_length_has_no_loose_name(slug, by):
    err = ct.catalog[slug].error.diff(by)
    text = err.latex()
    assert loose_names(text, {to_latex(x) for x in err.free_symbols} | {"d", r"\Sigma"}) == (set(), set())
    assert "psilon" not in text
    assert r"\frac{\partial}{\partial \lambda} \left(" in text


def test_a_derivative_that_is_zero_says_so():
    assert r"\frac{\partial E}{\partial T} &= 0" in ct.catalog["regular-replace"].error.diff("T").latex()
