"""Monte Carlo: against theory's exact values, a naive simulation, and itself under every way to run it."""

import json
import math
import pickle
from dataclasses import dataclass

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Symbol

import collapse_theory as ct
from collapse_theory.simulate.program import Solve, compile_linear
from collapse_theory.simulate.regression_trial import linear_trial
from collapse_theory.simulate.trial import Setting
from tests.helpers import ROOT, SMALL, THREE_ROWS, three_rounds
from tests.naive import agrees, streams

# ---------------------------------------------------------------- exact values of theory


def pooled_labellers(d, T1, T2, c, sigma1, sigma2, shift=1):
    """Pooled samples labelled by w0 and c*w0, |w0|_Sigma = 1: the brief's exact error of one least-squares fit."""
    N = T1 + T2
    p1, p2 = T1 / N, T2 / N
    mean = p1 + p2 * c
    tau = (N - 2 + N * (N * d - 2) / (N - d - 1)) / ((N + 2) * (N - 1))
    spread = p1 * (1 - mean) ** 2 + p2 * (c - mean) ** 2
    return (mean - 1) ** 2 + tau * spread + d * (p1 * sigma1**2 + p2 * sigma2**2) / (N - d - shift)


def exact_cases():
    def pooled():
        pipe = ct.Pipeline()
        pipe.fit([pipe.sample(T=12, noise=0.5), pipe.sample(T=8, noise=0.8, source=0.5 * ct.TRUTH)])
        return pipe

    def gap(T, k):
        return 10 / (T - 10 - k)

    workflows, one = ct.workflows, ct.Stage(T=20, noise=1)
    return [
        (
            "replace",
            workflows.replace(2, ct.Stage(T=24, noise=0.3), ct.Stage(T=20, noise=0.5)),
            lambda k: 0.25 * gap(20, k) + 2 * 0.09 * gap(24, k),
        ),
        (
            "accumulate",
            workflows.accumulate(3, ct.Stage(T=15, noise=1)),
            lambda k: gap(15, k) + gap(30, k) / 2 + gap(45, k) / 3,
        ),
        ("fixed", workflows.accumulate(3, one, design="fixed"), lambda k: gap(20, k) * (1 + 1 / 4 + 1 / 9)),
        ("mix", workflows.label_mix(1, one, 0.4), lambda k: gap(20, k) * (0.4**2 + 0.6**2 * 2)),
        ("pooled", pooled(), lambda k: pooled_labellers(10, 12, 8, 0.5, 0.5, 0.8, k)),
    ]


@pytest.mark.parametrize(("name", "pipe", "value"), exact_cases(), ids=[c[0] for c in exact_cases()])
def test_exact_values_of_least_squares(name, pipe, value):
    """Right with T-d-1; the same check refuses T-d."""
    sim = ct.simulate(pipe, spectrum=ct.Isotropic(10), target=ct.RandomTarget(), trials=6000, seed=11)
    assert agrees(sim.errors, value(1)), sim
    assert not agrees(sim.errors, value(0)), sim


def test_accumulate_value_of_the_brief():
    assert exact_cases()[1][2](1) == pytest.approx(2.8612, abs=5e-5)


def test_least_squares_error_depends_on_the_rank_only():
    """A spectrum over twelve decades and zero eigenvalues changes nothing but the whitened coordinates."""
    pipe = ct.workflows.replace(1, ct.Stage(T=24, noise=0.3), ct.Stage(T=20, noise=0.5))
    s = np.logspace(-6, 6, 10)
    flat = ct.simulate(pipe, spectrum=ct.Isotropic(10), target=ct.Energies(np.ones(10)), trials=20)
    wide = ct.simulate(pipe, spectrum=ct.Eigenvalues(s), target=ct.Energies(1 / s), trials=20)
    holes = ct.simulate(
        pipe, spectrum=ct.Eigenvalues(np.insert(s, 3, 0.0)), target=ct.Energies(np.insert(1 / s, 3, 7.0)), trials=20
    )
    np.testing.assert_allclose(wide.errors, flat.errors, rtol=1e-10)
    np.testing.assert_array_equal(holes.errors, wide.errors)


def reference_cases():
    path = ROOT.parent / "shared" / "cases.json"
    return sorted(json.loads(path.read_text())["cases"].items()) if path.is_file() else []


@pytest.mark.skipif(not reference_cases(), reason="the reference values cases.json are not beside the project")
def test_reference_means():
    for name, case in reference_cases():
        d, pipe = case["d"], reference_pipeline(case["pipeline"])
        s = {"iso": np.ones(d), "spiked": np.r_[20.0, 10, 5, np.ones(d - 3)]}.get(case["spectrum"])
        if s is None:
            s = np.arange(1, d + 1) ** -float(case["spectrum"].removeprefix("pow"))
        energies = np.arange(1, d + 1) ** -float(case["w0sq_power"])
        energies /= s @ energies
        sim = ct.simulate(pipe, spectrum=ct.Eigenvalues(s), target=ct.Energies(energies), trials=200, seed=2)
        assert agrees(sim.errors, case["mc"], sem=case["sem"]), (name, sim)
        assert not agrees(sim.errors, 1.15 * case["mc"], sem=case["sem"]), (name, sim)


def reference_pipeline(record):
    pipe, samples, fits = ct.Pipeline(), {}, []

    def sample(i):
        if i not in samples:
            s = record["samples"][i]
            terms = [c * (ct.TRUTH if m == "truth" else fits[int(m)]) for m, c in s["source"].items()]
            inputs = {"T": s["T"]} if s["design"] is None else {"design": sample(s["design"])}
            samples[i] = pipe.sample(**inputs, noise=s["noise"], source=sum(terms[1:], terms[0]))
        return samples[i]

    for f in record["fits"]:
        data = [sample(i) for i in f["data"]]  # labelled by the fits so far
        fits.append(pipe.fit(data, weights=f["weights"], ridge=f["ridge"]))
    return pipe


# ---------------------------------------------------------------- a naive simulation


def naive(pipe, spectra, test, w0, trials):
    """The definition, by explicit inverses, straight from the nodes; returns errors of shape (trials, fits)."""
    out = []
    for rng in streams(trials):
        X, y, w = {}, {}, {}
        for node in pipe._nodes:
            if isinstance(node, ct.Sample):
                if node.name == "unused":
                    y[node.index], X[node.index] = np.full(int(node.T), np.pi), np.ones((int(node.T), w0.size))
                    continue
                key = node.inputs.index
                if node.design is None:
                    root = np.diag(np.sqrt(spectra[node.covariance or "Sigma"].eigenvalues))
                    X[key] = rng.standard_normal((int(node.T), w0.size)) @ root
                labeller = sum(float(c) * (w0 if m == ct.TRUTH else w[m.index]) for m, c in node.source)
                y[node.index] = X[key] @ labeller + float(node.noise) * rng.standard_normal(int(node.T))
            else:
                N, ridge = float(node.N), float(node.ridge or 0)
                parts = [
                    (float(a), X[s.inputs.index], y[s.index]) for s, a in zip(node.samples, node.weights, strict=True)
                ]
                H = sum(a * x.T @ x for a, x, _ in parts) / N + ridge * np.eye(w0.size)
                w[node.index] = np.linalg.pinv(H, rcond=1e-12) @ sum(a * x.T @ t for a, x, t in parts) / N
        out.append([spectra[test].eigenvalues @ (w[k] - w0) ** 2 for k in sorted(w)])
    return np.array(out)


def everything(share=0.4, weights=(2.0, 1.0, 0.3, 0.0), *, reuse=True):
    """Weights, one of them zero, a shared design, mixed labels, a minimum-norm fit, two covariances."""
    pipe = ct.Pipeline()
    real = pipe.sample(T=9, noise=0.5)
    m1 = pipe.fit(real, ridge=0.05)
    inputs = {"design": real} if reuse else {"T": 9}
    same = pipe.sample(**inputs, noise=0.2, source=(1 - share) * ct.TRUTH + share * m1)
    other = pipe.sample(T=5, noise=0.3, source=1.5 * m1 - 0.5 * ct.TRUTH, covariance="Other")
    unused = pipe.sample(T=3, noise=9.0, source=m1, name="unused")
    m2 = pipe.fit([real, same, other, unused], weights=weights, ridge=0.1)
    short = pipe.sample(T=4, noise=0.1, source=m2)
    m3 = pipe.fit(short)
    last = pipe.sample(T=8, noise=0.1, source=m3 + m2 - m1)
    pipe.fit([short, last, other], weights=[1, 2, 0.5])
    return pipe


def test_agrees_with_a_naive_simulation():
    """Every fit, trial by trial on the same random numbers; mutants differ."""
    spectra = {"Sigma": ct.Eigenvalues([2.0, 1, 0.5, 0.2, 0.1]), "Other": ct.Eigenvalues([0.5, 1, 1, 2, 0.3])}
    w0 = np.array([1.0, -1, 0.5, 2, -0.3])
    positive = np.abs(w0)  # only the energies matter: a coefficient enters as its absolute value
    want = naive(everything(), spectra, "Other", positive, 20)

    def run(pipe, k, test="Other"):
        how = {"spectrum": spectra, "target": ct.Coefficients(w0), "test_covariance": test, "trials": 20}
        return ct.simulate(pipe, pipe.fits[k], **how).errors

    for k in range(4):
        np.testing.assert_allclose(run(everything(), k), want[:, k], rtol=1e-7)
        assert not np.allclose(run(everything(), k, "Sigma"), want[:, k], rtol=1e-2)
    for mutant in (everything(share=0.41), everything(weights=(2, 1, 0.31, 0)), everything(reuse=False)):
        assert not np.allclose(run(mutant, 1), want[:, 1], rtol=1e-3)


# ---------------------------------------------------------------- exact identities


@settings(max_examples=20, deadline=None)
@given(
    st.floats(-12, 12),
    st.sampled_from([0.0, 1e-3, 0.2]),
    st.integers(3, 12),
    st.sampled_from(["fresh", "fixed"]),
    st.integers(0, 99),
)
def test_scaling_the_inputs_changes_nothing(log_scale, ridge, T, design, seed):
    c, s = 10.0**log_scale, np.array([3.0, 1, 0.5, 0.1, 0.02, 1e-3])
    pipe = ct.workflows.accumulate(2, ct.Stage(T=T, noise=0.3, ridge=Symbol("lam")), design=design)
    a = ct.simulate(pipe, spectrum=ct.Eigenvalues(s), target=ct.Energies(np.ones(6)), trials=3, seed=seed, lam=ridge)
    b = ct.simulate(
        pipe, spectrum=ct.Eigenvalues(c * s), target=ct.Energies(np.ones(6) / c), trials=3, seed=seed, lam=c * ridge
    )
    np.testing.assert_allclose(b.errors, a.errors, rtol=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(3)), st.sampled_from([0.0, 0.1]))
def test_order_of_pooled_samples_changes_nothing(order, ridge):
    """The last fit pools samples that earlier fits have drawn already, so the random numbers are the same."""

    def pipeline(order):
        pipe = ct.Pipeline()
        samples, last = [], ct.TRUTH
        for T in (4, 5, 6):
            samples.append(pipe.sample(T=T, noise=0.5, source=last))
            last = pipe.fit(samples[-1], ridge=0.1)
        final = pipe.sample(T=3, noise=0.5, source=last)
        pool = [final, *(samples[i] for i in order)]
        pipe.fit(pool, weights=[1, *(i + 0.5 for i in order)], ridge=ridge)
        return pipe

    a, b = (ct.simulate(pipeline(o), **SMALL, trials=3) for o in (range(3), order))
    np.testing.assert_allclose(b.errors, a.errors, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(6, 12), st.integers(1, 4))
def test_noiseless_least_squares_finds_the_truth(T, n):
    sim = ct.simulate(ct.workflows.accumulate(n, ct.Stage(T=T)), **SMALL, trials=5)
    assert sim.errors.max() < 1e-20


def test_unrelated_nodes_and_names_do_not_enter():
    def pipeline(*, extra):
        pipe = ct.Pipeline()
        if extra:
            pipe.fit(pipe.sample(T=7, name="other"))
        return pipe, pipe.fit(pipe.sample(T=5, noise=1))

    (a, m), (b, k) = pipeline(extra=False), pipeline(extra=True)
    np.testing.assert_array_equal(
        ct.simulate(a, m, **SMALL, trials=4).errors, ct.simulate(b, k, **SMALL, trials=4).errors
    )


def test_long_chain_keeps_one_design():
    """Compiled without recursion, and every design is released by the fit that uses it last."""
    pipe = ct.workflows.replace(1500, ct.Stage(T=4), ct.Stage(T=4))
    program = compile_linear(pipe, pipe.fits[-1], {})
    assert all(step.release for step in program.steps if isinstance(step, Solve))
    trial = linear_trial(pipe, pipe.fits[-1], Setting(spectrum=ct.Isotropic(2), target=ct.RandomTarget()))
    assert pickle.loads(pickle.dumps(trial))(np.random.default_rng(0)) == trial(np.random.default_rng(0))


# ---------------------------------------------------------------- ways to run it


def test_same_seed_same_bits_and_prefixes():
    a, b = (ct.simulate(three_rounds(), **SMALL, trials=n, seed=4) for n in (7, 20))
    np.testing.assert_array_equal(a.errors, b.errors[:7])
    assert (a.trials, a.seed, a.mean) == (7, 4, a.errors.mean())
    assert a.sem == pytest.approx(a.errors.std(ddof=1) / math.sqrt(7))
    assert not np.array_equal(a.errors, ct.simulate(three_rounds(), **SMALL, trials=7, seed=5).errors)
    assert ct.simulate(three_rounds(), **SMALL, trials=1).sem == math.inf


def test_jobs_do_not_change_a_bit():
    pipe = three_rounds(T=60, ridge=0.1)
    how = {"spectrum": ct.PowerLaw(100, beta=1), "target": ct.RandomTarget(), "trials": 11}
    one = ct.simulate(pipe, **how)
    np.testing.assert_array_equal(ct.simulate(pipe, **how, jobs=2).errors, one.errors)
    with joblib.parallel_config(backend="threading", n_jobs=3):
        np.testing.assert_array_equal(ct.simulate(pipe, **how).errors, one.errors)


def test_dask_cluster_gives_the_same_sweep():
    distributed = pytest.importorskip("distributed")
    pipe = three_rounds(ridge=Symbol("lam"))
    sweep = [0.01, 0.1]
    here = [ct.simulate(pipe, **SMALL, trials=6, lam=lam).errors for lam in sweep]
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        there = [ct.simulate(pipe, **SMALL, trials=6, lam=lam).errors for lam in sweep]
        ran = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.task_prefixes))
    assert ran > 0
    np.testing.assert_array_equal(there, here)


def test_progress_bar_goes_to_standard_error(capsys):
    ct.simulate(three_rounds(), **SMALL, trials=3, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "3/3" in err


def test_overflow_is_an_error():
    how = {"spectrum": ct.Eigenvalues([1e300]), "target": ct.Energies([1e300])}
    with pytest.raises(ct.ConvergenceError):
        ct.simulate(three_rounds(), **how, trials=1)


@dataclass
class Coin:
    """A family of another kind: the hook needs a trial and nothing else."""

    p: float

    def trial(self, pipeline, model, setting):
        return CoinTrial(self.p, int(model.N))


@dataclass(frozen=True)
class CoinTrial:
    p: float
    T: int

    @property
    def fingerprint(self):
        return f"coin {self.p!r} {self.T}"

    def __call__(self, rng):
        return (rng.binomial(self.T, self.p) / self.T - self.p) ** 2


def test_another_family_plugs_in():
    sim = ct.simulate(ct.workflows.replace(0, downstream=ct.Stage(T=50)), family=Coin(0.3), trials=2000)
    assert agrees(sim.errors, 0.21 / 50)
    assert not agrees(sim.errors, 0.25 / 50)
    with pytest.raises(ct.PipelineError, match="family"):
        ct.simulate(three_rounds(), family="linear", **SMALL)


# ---------------------------------------------------------------- bad input


def test_fits_take_two_gigabytes_and_no_more():
    """2**28 entries of float64: rows times the directions that vary; directions without variance take no room."""

    def trial(rows, spectrum, target):
        pipe = ct.Pipeline()
        fit = pipe.fit(pipe.sample(T=rows))
        return linear_trial(pipe, fit, Setting(spectrum=ct.Eigenvalues(spectrum), target=ct.Energies(target)))

    trial(2**27, [1.0, 1.0, 0.0], [1.0, 1.0, 1.0])
    trial(2**28, [1.0, 0.0], [1.0, 1.0])
    with pytest.raises(ct.DomainError, match=r"fits of at most 268435456 entries.*got 134217729 x 2"):
        trial(2**27 + 1, [1.0, 1.0, 0.0], [1.0, 1.0, 1.0])
    with pytest.raises(ct.DomainError, match="T of sample"):
        trial(2**28 + 1, [1.0], [1.0])


def symbolic():
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=ct.symbols.T, noise=ct.symbols.sigma), ridge=ct.symbols.lam)
    return pipe


BAD = [
    ({"trials": 0}, "trials needs to be an integer >= 1, got 0"),
    ({"trials": 2.5}, "trials"),
    ({"trials": True}, "trials"),
    ({"seed": -1}, "seed needs to be an integer >= 0, got -1"),
    ({"jobs": 0}, "jobs"),
    ({"target": ct.Energies([1.0, 2.0])}, "one energy per eigenvalue"),
    ({"target": [1.0] * 6}, "target needs to be a Target"),
    ({"target": None}, "needs target="),
    ({"targets": THREE_ROWS["targets"]}, "no targets="),
    ({"spectrum": [1.0] * 6}, "Spectrum"),
    ({"spectrum": None}, "exactly one of spectrum, inputs and kernel, got none"),
    (THREE_ROWS, "got spectrum and inputs"),
    ({"spectrum": {"Sigma1": ct.Isotropic(6)}}, "needs the covariance 'Sigma' of a sample"),
    ({"test_covariance": "Sgima"}, "did you mean 'Sigma'"),
    ({"spectrum": {"Sigma": ct.Isotropic(6), "B": ct.Isotropic(5)}, "test_covariance": "B"}, "one length"),
    ({"nosie": 1.0}, "nosie"),
]


@pytest.mark.parametrize(("change", "text"), BAD, ids=[text for _, text in BAD])
def test_bad_input(change, text):
    with pytest.raises(ct.DomainError, match=text):
        ct.simulate(three_rounds(), **{**SMALL, **change})


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"T": 9, "sigma": 1.0}, "needs a value of lam"),
        ({"T": 9, "sgima": 1.0, "lam": 0}, "did you mean 'sigma'"),
        ({"T": 9.5, "sigma": 1.0, "lam": 0}, "T of sample 's1' needs to be an integer"),
        ({"T": 9, "sigma": -1.0, "lam": 0}, "sigma needs to be >= 0"),
        ({"T": 9, "sigma": math.nan, "lam": 0}, "finite"),
        ({"T": 9, "sigma": ct.symbols.sigma0, "lam": 0}, "needs to be a number"),
    ],
)
def test_bad_values(values, text):
    with pytest.raises(ct.DomainError, match=text):
        ct.simulate(symbolic(), **SMALL, trials=1, **values)


def test_symbols_of_one_name_are_refused():
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=9, noise=Symbol("sigma")), ridge=ct.symbols.sigma)
    with pytest.raises(ct.DomainError, match="one symbol per name"):
        ct.simulate(pipe, **SMALL, sigma=1)


def test_pipelines_of_other_families_are_refused():
    stage = ct.Stage(T=9)
    for pipe in (ct.workflows.random_past(3, stage), ct.workflows.accumulate_subsample(3, stage)):
        with pytest.raises(ct.PipelineError, match="linear regression needs"):
            ct.simulate(pipe, **SMALL)
    pipe = ct.Pipeline()
    pipe.fit(pipe.sample(T=9, covariance="Sigma1"))
    with pytest.raises(ct.PipelineError, match="Sigma1"):
        ct.simulate(pipe, **THREE_ROWS)
