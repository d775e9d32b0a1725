"""Token collapse at scale, the compressed chain, bounds and bad input."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from scipy.stats import binom

import collapse_theory as ct
from collapse_theory.families import wright_fisher
from collapse_theory.families.binomial import mean_absolute_deviation, probabilities
from collapse_theory.families.rates import eigenvalue
from collapse_theory.families.vocabulary import group
from collapse_theory.families.wright_fisher import chain

P = [0.5, 0.3, 0.15, 0.05]


def test_published_value():
    fam = ct.Categorical(P)
    assert abs(fam.total_collapse_probability(T=20, generations=20) - 0.40112878924530804) < 1e-13


@pytest.mark.parametrize(("T", "x"), [(1, 0.3), (7, 1e-9), (30, 0.999), (1000, 0.3), (10**6, 0.01), (10**6, 0.5)])
def test_binomial_probabilities_against_mpmath(T, x):
    with mpmath.workdps(50):
        for k in sorted({0, 1, T, int(T * x), min(T, int(T * x) + 3)}):
            want = mpmath.binomial(T, k) * mpmath.mpf(x) ** k * (1 - mpmath.mpf(x)) ** (T - k)
            if want > 1e-250:
                assert abs(probabilities(T, np.array([k]), np.array([x]))[0] / float(want) - 1) < 2e-12


def test_mean_absolute_deviation():
    for T, x in ((5, 0.3), (40, 0.01), (3, 1.0), (6, 0.5)):
        k = np.arange(T + 1)
        want = (np.abs(k / T - x) * binom.pmf(k, T, x)).sum()
        assert abs(mean_absolute_deviation(T, np.array([x]))[0] - want) < 1e-14


def test_eigenvalues_of_the_chain():
    T = 12
    value = np.sort(np.linalg.eigvals(np.asarray(chain(T).step)).real)[::-1]
    want = [1.0, *(float(eigenvalue(j, T)) for j in range(1, T + 1))]
    np.testing.assert_allclose(value, sorted(want, reverse=True), atol=1e-10)


@pytest.mark.parametrize("T", [400, 2000])
def test_grid_of_counts_against_the_full_chain(T):
    full, grid = chain(T), chain(T, exact_rows=50)
    assert full.exact
    assert not grid.exact
    x = np.array([0.5, 0.3, 0.01, 1.5 / T])
    for f in (lambda c: (c.states > 0).astype(float), lambda c: (c.states == c.T).astype(float)):
        a, b = f(full), f(grid)
        for _ in range(300):
            a, b = full.step @ a, grid.step @ b
        np.testing.assert_allclose(grid.start(x) @ b, full.start(x) @ a, atol=1e-10)


@pytest.mark.parametrize("exact_rows", [60, 50])
def test_a_chain_is_built_in_blocks_of_bounded_size(exact_rows, monkeypatch):
    whole, sizes = chain(60, exact_rows), []

    def watched(T, x, low, high):
        sizes.append(high - low + 1)
        return binomials(T, x, low, high)

    binomials = wright_fisher._binomials
    monkeypatch.setattr(wright_fisher, "_binomials", watched)
    for block in (1, 70, 122, 200):
        sizes.clear()
        monkeypatch.setattr(wright_fisher, "_BLOCK", block)
        np.testing.assert_allclose(chain.__wrapped__(60, exact_rows).step, whole.step, rtol=1e-14)
        assert all(rows.sum() <= block or len(rows) == 1 for rows in sizes)
        assert all(rows.sum() + following[0] > block for rows, following in itertools.pairwise(sizes))


def test_jump_by_squaring_is_the_walk():
    fam = ct.Categorical([0.6, 0.4])
    far = fam.total_collapse_probability(T=8, generations=[5, 400])
    walk = fam.total_collapse_probability(T=8, generations=np.arange(401))
    np.testing.assert_allclose(far, walk[[5, 400]], atol=1e-13)


def test_grouping_a_vocabulary():
    p = 1 / np.arange(1.0, 50_001)
    p /= p.sum()
    groups = group(p)
    assert not groups.exact
    assert len(groups.p) < 600
    for T in (100, 10_000, 10**6):
        exact = -np.expm1(T * np.log1p(-p)).sum()
        assert abs(groups.weights @ -np.expm1(T * np.log1p(-groups.p)) - exact) < 1e-9 * exact


@pytest.mark.parametrize("different", [1, 5, 6])
def test_as_many_probabilities_as_groups_are_kept(different):
    p = np.repeat(np.arange(1.0, different + 1), 2) / (different * (different + 1))
    groups = group(p, different)
    assert groups.exact
    assert groups.p.tolist() == sorted(set(p.tolist()))
    assert groups.weights.tolist() == [2.0] * different
    assert not group(p, different - 1).exact


def test_survivors_of_many_tokens_by_simulation():
    p = 1 / np.arange(1.0, 2001)
    p /= p.sum()
    fam, T = ct.Categorical(p), 5000  # compressed chain and grouped tokens
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(60):
        q, seen = p, []
        for _ in range(12):
            q = rng.multinomial(T, q / q.sum()) / T
            seen.append((q > 0).sum())
        runs.append(seen)
    theory = fam.expected_survivors(T=T, generations=np.arange(1, 13))
    mean, sem = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / math.sqrt(60)
    assert (np.abs(mean - theory) < 4.5 * sem).all()
    assert (np.abs(mean - 1.02 * theory) > 4.5 * sem).all()  # control: 2 % off is rejected


def test_poisson_bound_is_tight_for_rare_tokens():
    p = np.full(10**4, 1e-4)
    fam = ct.Categorical(p)
    exact, bound = (f(0, T=10**4, generations=[1, 3, 10]) for f in (fam.survival_probability, fam.survival_lower_bound))
    assert (bound <= exact).all()
    np.testing.assert_allclose(bound, exact, rtol=2e-3)


def test_mean_collapse_time_and_its_leading_order():
    fam = ct.Categorical(P)
    rates = fam.collapse_rates()
    for T, rel in ((100, 0.03), (1000, 0.003)):
        assert abs(fam.mean_collapse_time(T=T) / float(rates.collapse_time.subs({ct.symbols.T: T})) - 1) < rel
    curve = fam.total_collapse_probability(T=30, generations=[300, 301])
    ratio = (1 - curve[1]) / (1 - curve[0])
    assert abs(-math.log(ratio) - float(rates.per_generation.subs({ct.symbols.T: 30}))) < 1e-6


def test_edges():
    fam = ct.Categorical([1.0, 0.0])
    assert fam.mean_collapse_time(T=5) == 0
    assert fam.total_collapse_probability(T=5, generations=[0, 3]).tolist() == [1, 1]
    assert fam.survival_probability(1, T=5, generations=[0, 1]).tolist() == [0, 0]
    fam = ct.Categorical(P)
    assert fam.total_collapse_probability(T=5, generations=0) == 0
    assert fam.total_collapse_probability(T=1, generations=1) == pytest.approx(1, abs=1e-15)
    assert fam.expected_survivors(T=5, generations=0) == 4
    assert fam.total_collapse_probability(T=5, generations=np.zeros((2, 3), int)).shape == (2, 3)


@pytest.mark.parametrize(("call", "words"), [
    (lambda f: ct.Categorical([0.5, 0.6]), "1.1"),
    (lambda f: ct.Categorical([1.2, -0.2]), "-0.2"),
    (lambda f: ct.Categorical([]), "empty"),
    (lambda f: ct.Categorical([0.5, math.nan]), "finite"),
    (lambda f: f.total_collapse_probability(T=0, generations=1), "T"),
    (lambda f: f.total_collapse_probability(T=2.5, generations=1), "integer"),
    (lambda f: f.expected_survivors(T=5, generations=-1), "generations"),
    (lambda f: f.expected_survivors(T=5, generations=1.5), "generations"),
    (lambda f: f.survival_probability(9, T=5, generations=1), "token"),
    (lambda f: ct.workflows.accumulate(2, ct.Stage(T=0)), "T"),
])  # fmt: skip
def test_bad_input(call, words):
    with pytest.raises(ct.CollapseTheoryError, match=words):
        call(ct.Categorical(P))


def test_negative_weights_and_symbols():
    pipe = ct.Pipeline()
    a, b = pipe.sample(T=3), pipe.sample(T=3)
    with pytest.raises(ct.PipelineError, match="weights"):
        pipe.fit([a, b], weights=[1, -1])
    symbolic = ct.workflows.accumulate(2, ct.Stage(T=ct.symbols.T))
    with pytest.raises(ct.PipelineError, match="T"):
        ct.Categorical(P).total_variation(symbolic)


def test_text(tmp_path):
    from collapse_theory.families.text import as_csv, bigram, read_tokens, text_collapse, unigram
    from collapse_theory.present.text_figure import draw_text_collapse

    path = tmp_path / "text.txt"
    path.write_text("the cat and the dog and the bird saw the cat " * 8, encoding="utf-8")
    for contexts in (unigram(read_tokens(path)), bigram(read_tokens(path, "character"), rows=300)):
        points = text_collapse(contexts, generations=3, runs=200, seed=1)
        assert len(points) == 3 * 3 * 4
        for p in points:
            assert p.lower - 1e-9 <= p.theory <= p.upper + 1e-9
            gap = max(p.lower - p.simulated, p.simulated - p.upper, 0.0)
            unseen = 5 / 200 if p.sem == 0 else 0.0  # an event of that chance may be missing from 200 runs
            assert gap <= 4.5 * p.sem + unseen + 1e-9
        assert as_csv(points).count("\n") == len(points) + 1
        assert len(draw_text_collapse(points).axes) == 3
    with pytest.raises(ct.DomainError, match="missing"):
        read_tokens(tmp_path / "missing.txt")


def test_a_figure_of_a_text_has_theory_as_lines_and_simulation_as_points_with_two_standard_errors():
    from collapse_theory.families.text import QUANTITIES, WORKFLOWS, TextPoint
    from collapse_theory.present.text_figure import draw_text_collapse

    points = [
        TextPoint(w, g, q, 1.0 + g, 0.5 + g, 2.0 + g, 1.25 + g, 0.125)
        for w in WORKFLOWS
        for q in QUANTITIES
        for g in (0, 1)
    ]
    figure = draw_text_collapse(points)
    assert [axis.get_title() for axis in figure.axes] == list(QUANTITIES)
    for axis in figure.axes:
        assert axis.get_xlabel() == "generation"
        assert len(axis.containers) == len(axis.collections) / 2 == len(WORKFLOWS)
        theory = [line for line in axis.lines if line.get_label() in WORKFLOWS]
        for line, bars in zip(theory, axis.containers, strict=True):
            simulated, _, (spread,) = bars.lines
            assert line.get_xydata().tolist() == [[0, 1], [1, 2]]
            assert (line.get_linestyle(), simulated.get_linestyle(), simulated.get_marker()) == ("-", "None", "o")
            assert simulated.get_xydata().tolist() == [[0, 1.25], [1, 2.25]]
            assert [s.tolist() for s in spread.get_segments()] == [[[0, 1.0], [0, 1.5]], [[1, 2.0], [1, 2.5]]]
            assert line.get_color() == simulated.get_color()
        assert len({line.get_color() for line in theory}) == len(WORKFLOWS)
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == list(WORKFLOWS)


def test_points_of_a_text_have_the_mean_and_the_standard_error_of_their_runs(monkeypatch):
    from collapse_theory.families import text

    runs = np.array([1.0, 3.0, 8.0])
    simulated = runs[:, None, None] * np.ones((3, 2, 3)) * np.array([1, 10])[:, None] + np.array([0, 100, 200])
    monkeypatch.setattr(text, "_simulate", lambda *_: simulated)
    points = text.text_collapse(text.unigram(["a", "b", "a", "c"]), generations=1, runs=3)
    assert len(points) == 2 * 3 * len(text.WORKFLOWS)
    for p in points:
        size, shift = 10**p.generation, 100 * text.QUANTITIES.index(p.quantity)
        assert p.simulated == pytest.approx(4 * size + shift)
        assert p.sem == pytest.approx(size * np.sqrt((9 + 1 + 16) / 2 / 3))


def test_few_tokens_of_one_size_stay_what_they_are():
    """Only an octave of many different tokens is replaced by the nodes of a rule, and never tokens above one half."""
    few, many = np.array([0.003, 0.003, 0.0033, 0.0036, 0.6]), np.linspace(0.0079, 0.0152, 33)
    found = group(np.concatenate([few, many]), groups=5)
    assert not found.exact
    values = dict(zip(found.p.tolist(), found.weights.tolist(), strict=True))
    assert [values.get(x) for x in (0.003, 0.0033, 0.0036, 0.6)] == [2, 1, 1, 1]
    rest = [(x, w) for x, w in values.items() if 1 / 128 <= x <= 1 / 64]
    assert len(rest) == 20
    for power in (0, 1, 2):
        assert sum(w * x**power for x, w in rest) == pytest.approx((many**power).sum(), rel=1e-9)


def test_text_report_from_the_command_line(tmp_path):
    from typer.testing import CliRunner

    from collapse_theory.cli.main import app

    (tmp_path / "a.txt").write_text("a rose is a rose is a rose " * 9, encoding="utf-8")
    file = tmp_path / "a.toml"
    file.write_text('text = "a.txt"\ngenerations = 2\nruns = 5\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["report", str(file), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) [:4] == [
        "figure.pdf", "figure.png", "report.csv", "report.json"
    ]  # fmt: skip
    file.write_text('text = "a.txt"\ngeneration = 2\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["report", str(file), "-o", str(tmp_path / "other")])
    assert done.exit_code == 2
    assert "generations" in done.output
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "p", [[[0.5, 0.5]], "ab", 1, None, {"a": 1.0}, [ct.symbols.T, 0.5], [0.5 + 0j, 0.5], np.array([0.5j, 0.5])]
)
def test_what_is_no_distribution(p):
    with pytest.raises(ct.DomainError, match="p needs"):
        ct.Categorical(p)


def test_symbols_where_a_number_is_needed():
    pipe = ct.workflows.replace(1, ct.Stage(T=ct.symbols.T), ct.Stage(T=5))
    with pytest.raises(ct.PipelineError, match="free symbols T"):
        ct.Categorical(P).diversity(pipe)
    with pytest.raises(ct.DomainError, match="T needs"):
        ct.Gaussian().collapse_time(T=ct.symbols.T)
    with pytest.raises(ct.DomainError, match="T needs"):
        ct.Gaussian().variance_law(ct.symbols.T, 3)
    with pytest.raises(ct.DomainError, match="information"):
        ct.Regular(3)
