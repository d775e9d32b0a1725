"""The diagnosis of real inputs: Gaussian rows are trusted, elliptic, parallel and rare ones are not, and the table holds."""

from __future__ import annotations

import dataclasses
import math
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.check.diagnose import diagnose_fits
from collapse_theory.check.diagnosis import THRESHOLDS, worst
from collapse_theory.describe.data import dataset
from collapse_theory.describe.files import load
from collapse_theory.numerics.elliptic import CleanFit
from collapse_theory.present.document import study_document
from collapse_theory.present.report import study_data
from collapse_theory.study.report_study import run_study

ROOT = Path(ct.__file__).parents[1]


def gaussian(seed, N=3000, d=12):
    return np.random.default_rng(seed).standard_normal((N, d)) * np.arange(1, d + 1) ** -0.7


def two_scales(seed, N=4000, d=150):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, d)) * np.sqrt(rng.choice([0.1, 1.9], size=(N, 1)))


def test_columns_of_the_table_are_what_they_say():
    X = gaussian(0)
    found = ct.diagnose(X, T=50, lam=0.1)
    Xc = X - X.mean(axis=0)
    s, V = np.linalg.eigh(Xc.T @ Xc / len(X))
    z = Xc @ V[:, ::-1] / np.sqrt(s[::-1])
    np.testing.assert_allclose(found.eigenvalues, s[::-1], rtol=1e-9)
    np.testing.assert_allclose(found.fourth_moments, (z**4).mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(found.leverages, (z**2).max(axis=0) / len(X), rtol=1e-8)
    np.testing.assert_allclose(found.use, s[::-1] / (s[::-1] + found.kappa), rtol=1e-9)
    assert found.table(3)[0].keys() == {"direction", "eigenvalue", "fourth moment", "leverage", "use"}


def test_scores_are_what_they_say():
    """Each score from its formula, on rows few enough to take every pair one by one."""
    X, T, lam = two_scales(0, N=80, d=12), 30, 0.2
    found = ct.diagnose(X, T=T, lam=lam)
    Xc = X - X.mean(axis=0)
    s, V = np.linalg.eigh(Xc.T @ Xc / 80)
    z, p = Xc @ V / np.sqrt(s), s / (s + ct.effective_ridge(ct.Eigenvalues(s), T=T, lam=lam))
    df1, df2, df4 = p.sum(), (p**2).sum(), (p**4).sum()
    q = (p * z**2).sum(axis=1)
    spread = (1 + q.var() / q.mean() ** 2) / (1 + 2 * df2 / df1**2) - 1
    assert found.spread == pytest.approx(spread, rel=1e-9)
    k = np.array([np.sum(p * z[i] * z[j]) for i in range(80) for j in range(i)])
    moment, elliptic = np.mean(k**4) / np.mean(k**2) ** 2, 3 * (1 + 2 * df4 / df2**2) * (1 + spread) ** 2
    assert found.parallel == pytest.approx(moment / elliptic, rel=1e-9)
    assert found.clusters == pytest.approx(max(moment - elliptic, 0) * df1 / T / (T - df2), rel=1e-9)
    assert found.scores["size"] == pytest.approx(1 / (T - df2 - 1), rel=1e-9)
    assert found.scores["fourth moment"] == pytest.approx((p * ((z**4).mean(0) - 3).clip(0)).max() / T, rel=1e-8)
    assert found.scores["leverage"] == pytest.approx((p * (z**2).max(0) / 80).max(), rel=1e-8)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_gaussian_rows_are_trusted(seed):
    assert ct.diagnose(gaussian(seed), T=100).verdict == "trust"


@pytest.mark.parametrize(("T", "lam"), [(200, 0.01), (1000, 0.01), (200, 1.0), (400, 0.0)])
def test_elliptic_rows_are_not_trusted_and_gaussian_ones_are(T, lam):
    found = ct.diagnose(two_scales(3), T=T, lam=lam)
    assert found.verdict != "trust"
    assert found.worst_score == "spread"
    assert found.spread == pytest.approx(0.81, rel=0.1)
    assert "energies of rows vary by 0.7" in found.reason or "energies of rows vary by 0.8" in found.reason
    assert ct.diagnose(np.random.default_rng(3).standard_normal((4000, 150)), T=T, lam=lam).verdict == "trust"


def test_spread_of_gaussian_and_bounded_rows_is_none():
    rng = np.random.default_rng(0)
    assert ct.diagnose(rng.standard_normal((4000, 5)), T=50).spread < 0.02
    for X in (np.sign(rng.standard_normal((2000, 40))), rng.uniform(-1, 1, (2000, 40))):
        found = ct.diagnose(X, T=100)
        assert found.spread == 0
        assert found.elliptic == found.gaussian


def test_prediction_for_elliptic_rows_beats_the_gaussian_one():
    """Measured on these rows; the Gaussian theory fails the check that the corrected one passes."""
    X = two_scales(1, N=1500, d=50)
    y = X @ np.random.default_rng(2).standard_normal(50)
    spectrum, target = ct.from_data(X, y)
    for T, lam in ((150, 0.05), (40, 0.3)):
        pipe = ct.Pipeline()
        pipe.fit(pipe.sample(T=T, noise=1.0), ridge=lam)
        real = ct.simulate(pipe, inputs=X, targets=y, trials=150, seed=0)
        p = ct.diagnose(X, T=T, lam=lam).predict(target, noise=1.0)
        assert p.gaussian == pytest.approx(ct.test_error(pipe).evaluate(spectrum=spectrum, target=target), rel=1e-9)
        allowed = 4 * real.sem + 0.06 * real.mean
        assert abs(p.resampled - real.mean) < allowed
        assert abs(p.gaussian - real.mean) > allowed


def test_few_rows_drawn_with_replacement():
    """N = 100, T = 40: far below the theory with noise only, far above without noise, and predicted."""
    X = np.random.default_rng(0).standard_normal((100, 60))
    y = X @ np.random.default_rng(1).standard_normal(60)
    _, target = ct.from_data(X, y)
    found = ct.diagnose(X, T=40, lam=0.05)
    assert found.verdict == "distrust"
    signs = []
    for labels, noise, energies in ((0 * y, 1.0, ct.RandomTarget(norm2=0)), (y, 0.0, target)):
        pipe = ct.Pipeline()
        pipe.fit(pipe.sample(T=40, noise=noise), ridge=0.05)
        real = ct.simulate(pipe, inputs=X, targets=labels, trials=200, seed=0)
        p = found.predict(energies, noise=noise)
        assert abs(p.resampled - real.mean) < 4 * real.sem + 0.04 * real.mean
        assert abs(p.gaussian - real.mean) > 4 * real.sem + 0.04 * real.mean
        signs.append(np.sign(real.mean - p.gaussian))
    assert signs == [-1, 1]


def test_parallel_rows_are_not_trusted():
    rng = np.random.default_rng(0)
    copies = np.repeat(rng.standard_normal((100, 60)), 15, axis=0) + 0.1 * rng.standard_normal((1500, 60))
    kinds = np.eye(60)[rng.integers(60, size=1500)]
    for X in (copies, kinds):
        found = ct.diagnose(X, T=120, lam=0.1 * X.var(axis=0).mean())
        assert found.verdict != "trust"
        assert found.parallel > 8
        assert found.worst_score == "clusters"
        assert "near-duplicates" in found.reason


@pytest.mark.parametrize("name", THRESHOLDS)
def test_thresholds_are_where_they_are(name):
    """A score just below its threshold changes nothing, just above it changes the verdict and is the reason."""
    clean = ct.diagnose(gaussian(0, N=20000), T=400)
    assert clean.verdict == "trust"

    def with_score(value):
        if name == "size":
            eigenvalues = np.ones(12)
            changed = dataclasses.replace(clean, T=12 + 1 + 1 / value, eigenvalues=eigenvalues)
        elif name == "spread":
            fit = CleanFit(0.0, 1.0, clean.gaussian.noise * (1 + value))
            changed = dataclasses.replace(clean, elliptic=fit, resampled=fit)
        elif name == "population":
            changed = dataclasses.replace(clean, resampled=CleanFit(0.0, 1.0, clean.elliptic.noise * (1 - value)))
        elif name == "clusters":
            changed = dataclasses.replace(clean, clusters=value)
        elif name == "fourth moment":
            changed = dataclasses.replace(clean, fourth_moments=np.full(12, 3 + 400 * value))
        else:
            changed = dataclasses.replace(clean, leverages=np.full(12, value))
        assert changed.scores[name] == pytest.approx(value, rel=1e-6)
        return changed

    caution, distrust = THRESHOLDS[name]
    verdicts = [with_score(c).verdict for c in (0.99 * caution, 1.01 * caution, 0.99 * distrust, 1.01 * distrust)]
    assert verdicts == ["trust", "caution", "caution", "distrust"]
    assert with_score(1.01 * distrust).worst_score == name
    assert name in with_score(1.01 * distrust).reason


@given(st.integers(0, 2**32 - 1), st.floats(1e-8, 1e8))
@settings(max_examples=8, deadline=None)
def test_verdict_does_not_depend_on_units(seed, unit):
    X = gaussian(seed, N=1000)
    X[:, 3] = 0
    X[0, 3] = 0.1
    a, b = ct.diagnose(X, T=100, lam=0.01), ct.diagnose(unit * X, T=100, lam=0.01 * unit**2)
    assert a.verdict == b.verdict
    for name, score in a.scores.items():
        assert b.scores[name] == pytest.approx(score, rel=1e-5, abs=1e-9), name


def test_digits_are_trusted_with_a_ridge_only_and_simulation_agrees():
    """The verdicts mean what they say: measured against simulation with the real images."""
    digits = dataset("digits")
    for lam, verdict in ((0.1, "trust"), (0.0, "distrust")):
        assert ct.diagnose(digits.X, T=600, lam=lam).verdict == verdict
        pipe = ct.workflows.replace(0, downstream=ct.Stage(T=600, noise=0.3, ridge=lam))
        theory = ct.test_error(pipe).evaluate(spectrum=digits.spectrum, target=digits.target)
        real = ct.simulate(pipe, inputs=digits.X, targets=digits.y, trials=60, seed=1)
        assert (abs(real.mean / theory - 1) < 0.1) == (verdict == "trust")


def written_table():
    """Return (data set, T, ridge, verdict, largest gap) of every row of the table in docs/diagnose.md."""
    page = (ROOT / "docs" / "diagnose.md").read_text(encoding="utf-8")
    rows = []
    for line in page.split("<!-- begin table -->")[1].splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if len(cells) == 9 and re.search(r"× \d+\)$", cells[0]):
            name = cells[0].rsplit(" (", 1)[0]
            gaps = [float(cells[i].split("±")[0]) for i in (5, 7)]
            rows.append((name, int(cells[1]), float(cells[2]), cells[3], max(map(abs, gaps))))
    return rows


def test_no_setting_of_the_table_is_trusted_and_wrong_and_trust_is_not_rare():
    rows = written_table()
    assert len({name for name, *_ in rows}) >= 25
    assert len(rows) >= 175
    trusted = [gap for *_, verdict, gap in rows if verdict == "trust"]
    assert max(trusted) < 10
    page = (ROOT / "docs" / "diagnose.md").read_text(encoding="utf-8")
    for label, low, high in (("below 3 %", 0, 3), ("3 to 10 %", 3, 10), ("beyond 10 %", 10, math.inf)):
        inside = [verdict for *_, verdict, gap in rows if low <= gap < high]
        assert f"| {label} | " + " | ".join(str(inside.count(v)) for v in ("trust", "caution", "distrust")) in page
    right = [verdict for *_, verdict, gap in rows if gap < 3]
    assert right.count("trust") > 0.7 * len(right)


@pytest.mark.parametrize("name", ["Gaussian, power law", "breast_cancer", "iris", "linnerud", "wine", "digits"])
def test_table_is_of_this_code(name):
    """The settings and verdicts of the written table are those that the script and the package give today."""
    problems = runpy.run_path(str(ROOT / "benchmarks" / "diagnose.py"))["problems"]
    today = [(name, T, lam, ct.diagnose(X, T=T, lam=lam).verdict) for X, _, T, lam in problems(name)]
    assert today == [row[:4] for row in written_table() if row[0] == name]


@pytest.mark.parametrize(
    ("X", "T", "lam"),
    [
        (np.random.default_rng(0).standard_normal((400, 1)), 10, 0.1),
        (np.column_stack([np.random.default_rng(0).standard_normal((300, 3)), np.full(300, 7.0)]), 20, 0.0),
        (np.random.default_rng(0).standard_normal((30, 80)), 20, 0.1),
        (np.random.default_rng(0).standard_normal((30, 80)), 29, 0.0),
        (np.repeat(np.random.default_rng(0).standard_normal((40, 6)), 10, axis=0), 6, 0.0),
        (np.eye(50), 30, 0.01),
        (np.array([[0.0], [1.0]]), 5, 0.0),
        (np.random.default_rng(0).standard_normal((50, 4)), 0.5, 1e-12),
        (np.random.default_rng(0).standard_normal((50, 4)), 1e7, 0.0),
        (np.random.default_rng(0).standard_normal((50, 4)), 1e14, 0.1),
        (np.random.default_rng(0).standard_t(3, (2000, 4)), 1e14, 0.1),
        (np.random.default_rng(0).standard_normal((50, 4)), 10, 1e100),
    ],
)
def test_awkward_inputs_have_a_verdict_without_nan(X, T, lam):
    found = ct.diagnose(X, T=T, lam=lam)
    assert not any(math.isnan(v) for v in found.scores.values())
    assert "nan" not in str(found)
    p = found.predict(ct.RandomTarget(norm2=1), noise=0.3)
    assert min(p.gaussian, p.elliptic, p.resampled) >= 0


def test_as_many_rows_as_directions_is_never_trusted():
    found = ct.diagnose(gaussian(0), T=12)
    assert found.verdict == "distrust"
    assert found.worst_score == "size"
    assert "0 residual degrees of freedom" in found.reason


def test_several_fits_are_what_each_alone_is():
    X = two_scales(0, N=500, d=20)
    together = diagnose_fits(X, [(30, 0.1), (60, 0)])
    for found, (T, lam) in zip(together, [(30, 0.1), (60, 0)], strict=True):
        assert str(found) == str(ct.diagnose(X, T=T, lam=lam))


def test_less_noise_is_trusted_less():
    found = [ct.diagnose(gaussian(0), T=20, lam=1e-4, least_noise=x).scores["population"] for x in (0, 0.1, 1)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"T": 0}, "T"),
        ({"T": [10, 20]}, "T needs to be a real number"),
        ({"T": np.array([10])}, "T needs to be a real number"),
        ({"T": sympy.Symbol("T", positive=True)}, "T needs to be a number"),
        ({"T": True}, "T needs"),
        ({"T": math.nan}, "T needs"),
        ({"lam": -1}, "lam"),
        ({"lam": [0.1]}, "lam needs to be a real number"),
        ({"lam": "0.1"}, "lam needs"),
        ({"least_noise": -0.1}, "least_noise needs"),
        ({"X": [[1.0, np.nan], [0.0, 1.0]]}, "nan"),
        ({"X": np.ones((5, 2))}, "varies"),
        ({"X": np.ones(5)}, "dimension"),
        ({"X": np.empty((0, 3))}, "empty"),
        ({"X": [["a", "b"], ["c", "d"]]}, "real numbers"),
        ({"X": [[1, 2], [3]]}, "real numbers"),
    ],
)
def test_bad_input(change, words):
    arguments = {"X": gaussian(0, N=50), "T": 10, "lam": 0.1, **change}
    with pytest.raises(ct.DomainError, match=words):
        ct.diagnose(arguments.pop("X"), **arguments)


def test_reports_print_the_corrected_prediction_beside_the_gaussian_one(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(
        'title = "t"\ndata = "digits"\nworkflow = "replace"\n'
        "[generator]\nT = 500\nnoise = 0.3\nridge = 0\n[downstream]\nT = 400\nnoise = 0.3\nridge = 0.1\n"
        '[sweep]\ngenerations = "0..1"\n'
    )
    _, about = load(file)
    study = run_study(about)
    digits = dataset("digits")
    fits = [ct.diagnose(digits.X, T=400, lam=0.1), ct.diagnose(digits.X, T=500)]
    found = study.series[0].diagnosis
    assert str(found) == str(fits[1])  # the worst fit
    data = study_data(study)["series"][0]["diagnosis"]
    assert data["verdict"] == "distrust"
    assert (data["T"], data["lam"]) == (500, 0)
    assert data["clean_fit"]["elliptic"]["noise"] == found.elliptic.noise > found.gaussian.noise
    assert data["clean_fit"]["gaussian"]["noise"] == pytest.approx(61 / (500 - 61), rel=1e-9)
    assert data["scores"].keys() == THRESHOLDS.keys()
    document = study_document(study)
    assert (
        f"{found.elliptic.noise:.4g} (x {found.elliptic.noise / found.gaussian.noise:.3g}) on rows of this spread"
        in document
    )


@pytest.mark.parametrize(
    ("excess", "words"),
    [(0.0273, "by up to 2.7 %"), (0.273, "27 %"), (0.996, "100 %"), (12.34, "1,234 %"), (math.inf, "any factor")],
)
def test_the_reason_rounds_a_change_of_the_error_to_what_matters(excess, words):
    found = ct.diagnose(gaussian(0, N=20000), T=400)
    fit = CleanFit(0.0, 1.0, (1 + excess) * found.gaussian.noise)
    assert f"{words}." in dataclasses.replace(found, elliptic=fit, resampled=fit).reason


def test_a_target_of_another_size_is_refused():
    with pytest.raises(ct.DomainError, match="one energy per eigenvalue"):
        ct.diagnose(gaussian(0), T=50).predict(ct.Energies(np.ones(5)))


def test_the_reason_is_the_score_that_decides():
    """A score far beyond its first threshold does not hide another one beyond its second."""
    found = ct.diagnose(gaussian(0, N=20000), T=400)
    fit = CleanFit(0.0, 1.0, 1.19 * found.gaussian.noise)  # nearly eight times where caution starts
    both = dataclasses.replace(found, elliptic=fit, resampled=fit, leverages=np.full(12, 0.31))
    assert (both.verdict, both.worst_score) == ("distrust", "leverage")
    assert worst([both, dataclasses.replace(found, elliptic=fit, resampled=fit), found]) is both
