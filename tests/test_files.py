"""Pipeline files: the vocabulary of the Python calls, and a clear refusal of everything else."""

import pickle

import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory import symbols

HEAD = 'spectrum = "powerlaw:d=30,beta=1.5"\ntarget = "source:r=0.5"\n'
GRAPH = """
[[sample]]
name = "real"
T = 600
noise = 0.5
[[fit]]
name = "m1"
data = ["real"]
ridge = 0.1
[[sample]]
name = "fake"
T = "2*T"
noise = 0.5
source = "0.6*truth + 0.4*m1"
[[fit]]
name = "m2"
data = ["real", "fake"]
weights = [1.5, "3/4"]
ridge = "lam"
"""
REPLACE = """
workflow = "replace"
[generator]
T = 60
noise = 0.5
ridge = "lam0"
[downstream]
T = "T"
noise = 0.5
ridge = "lam"
"""


@pytest.fixture
def load(tmp_path):
    def read(text):
        path = tmp_path / "p.toml"
        path.write_text(text, encoding="utf-8")
        return ct.load(path)

    return read


def test_samples_and_fits(load):
    pipe, s = load(HEAD + 'seed = 7\ntrials = 50\ntitle = "Two"\n' + GRAPH + '[sweep]\nlam = "log:1e-4:10:40"\n')
    assert [f.name for f in pipe.fits] == ["m1", "m2"]
    assert [x.name for x in pipe.nodes] == ["real", "m1", "fake", "m2"]
    real, fake = pipe.samples
    assert (fake.T, fake.noise) == (2 * symbols.T, sp.Float(0.5))
    assert fake.source == 0.6 * ct.TRUTH + 0.4 * pipe.fits[0]
    assert pipe.fits[1].samples == (real, fake)
    assert pipe.fits[1].weights == (sp.Float(1.5), sp.Rational(3, 4))
    assert pipe.fits[1].ridge == symbols.lam
    assert (s.title, s.seed, s.trials, s.jobs) == ("Two", 7, 50, 1)
    plain = load(HEAD + GRAPH)[1]
    assert (plain.seed, plain.trials, plain.jobs) == (0, 200, 1)
    assert s.spectrum == ct.PowerLaw(30, beta=1.5)
    assert s.target == ct.SourceTarget(r=0.5)
    assert s.inputs == ("gaussian",)
    np.testing.assert_allclose(s.sweep["lam"], np.geomspace(1e-4, 10, 40))
    assert list(s.sweep) == ["lam"]
    assert "lam" not in s.recipe.paths


def test_design_covariance_pool_and_one_of(load):
    pipe, s = load("""
[[sample]]
name = "a"
T = 9
covariance = "Sigma1"
[[sample]]
name = "b"
design = "a"
noise = 0.1
source = "one_of(truth, m)"
[[sample]]
name = "c"
pool = ["a", "b"]
T = 5
[[fit]]
name = "m"
data = ["a"]
[[fit]]
name = "last"
data = ["c"]
""")
    a, b, c = pipe.samples
    assert a.covariance == b.covariance == "Sigma1"
    assert b.design == a
    assert b.source == ct.one_of(ct.TRUTH, pipe.fits[0])
    assert c.pool == (a, b)
    assert s.spectrum is None


def test_order_between_the_kinds_does_not_matter(load):
    blocks = GRAPH.split("[[")[1:]
    samples = "".join("[[" + b for b in blocks if b.startswith("sample"))
    fits = "".join("[[" + b for b in blocks if b.startswith("fit"))
    names = [[x.name for x in load(text)[0].nodes] for text in (GRAPH, samples + fits, fits + samples)]
    assert names[0] == names[1] == names[2]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (
            "generations = 2\n" + REPLACE,
            lambda st: ct.workflows.replace(2, st(60, symbols.lam0), st(symbols.T, symbols.lam)),
        ),
        (
            (
                'workflow = "accumulate"\ngenerations = 3\nridge_scaling = "constant"\ndesign = "fixed"\n'
                "stage = {T = 60, noise = 0.5, ridge = 0.1}"
            ),
            lambda st: ct.workflows.accumulate(3, st(60, 0.1), ridge_scaling="constant", design="fixed"),
        ),
        (
            (
                'workflow = "keep_real"\ngenerations = 2\nreal.T = 60\nreal.noise = 0.5\n'
                '[synthetic]\nT = 40\nnoise = 0.5\nridge = "lam"'
            ),
            lambda st: ct.workflows.keep_real(2, st(60, None), st(40, symbols.lam)),
        ),
        (
            (
                'workflow = "fresh_real"\ngenerations = 2\nweight = "w"\n'
                "[real]\nT = 60\nnoise = 0.5\n[synthetic]\nT = 40\nnoise = 0.5"
            ),
            lambda st: ct.workflows.fresh_real(2, st(60, None), st(40, None), weight=symbols.w),
        ),
        (
            'workflow = "last_k"\ngenerations = 4\nk = 2\n[stage]\nT = 60\nnoise = 0.5',
            lambda st: ct.workflows.last_k(4, st(60, None), k=2),
        ),
        (
            'workflow = "random_past"\ngenerations = 3\n[stage]\nT = 60\nnoise = 0.5',
            lambda st: ct.workflows.random_past(3, st(60, None)),
        ),
        (
            'workflow = "accumulate_subsample"\ngenerations = 3\n[stage]\nT = 60\nnoise = 0.5',
            lambda st: ct.workflows.accumulate_subsample(3, st(60, None)),
        ),
        (
            'workflow = "label_mix"\ngenerations = 2\nweight = 0.6\n[stage]\nT = 60\nnoise = 0.5\nridge = 0.1',
            lambda st: ct.workflows.label_mix(2, st(60, 0.1), weight=0.6),
        ),
    ],
)
def test_workflows_are_those_of_python(load, text, same):
    pipe, _ = load(text)
    want = same(lambda T, ridge: ct.Stage(T=T, noise=0.5, ridge=ridge))
    assert [*pipe.parameters()] == [*want.parameters()]
    assert [[s.name for s in f.samples] for f in pipe.fits] == [[s.name for s in f.samples] for f in want.fits]
    assert [repr(s.source) for s in pipe.samples] == [repr(s.source) for s in want.samples]


CURVES = (
    REPLACE
    + """
[values]
T = 50
lam = 0.01
lam0 = 0.05
[sweep]
generations = "0..5"
[[curve]]
name = "ridge"
[[curve]]
name = "least squares"
generator.ridge = 0
lam = "1/8"
"""
)


def test_one_file_describes_several_curves(load):
    pipe, s = load('data = "digits"\n' + CURVES)
    assert len(pipe.fits) == 6  # the last swept value, since only the sweep gives generations
    ridge, least_squares = s.curves
    assert [c.name for c in s.curves] == ["ridge", "least squares"]
    assert s.values_of(ridge) == {"T": 50, "lam": 0.01, "lam0": 0.05}
    assert s.values_of(least_squares) == {"T": 50, "lam": 0.125, "lam0": 0.05}
    assert list(s.sweep) == ["generations"]
    assert "generations" in s.recipe.paths
    for n in s.sweep["generations"]:
        a, b = (s.recipe.build(c, generations=n) for c in s.curves)
        assert len(a.fits) == len(b.fits) == n + 1
        assert {f.ridge for f in a.fits[:-1]} == ({symbols.lam0} if n else set())
        assert {f.ridge for f in b.fits[:-1]} == ({sp.S.Zero} if n else set())
    assert s.data.name == "digits"
    assert s.spectrum is s.data.spectrum
    assert s.inputs == ("gaussian", "real")


def test_nodes_of_a_graph_can_be_overridden(load):
    pipe, s = load(
        GRAPH
        + '[[curve]]\nname = "none"\nm1.ridge = 0\n[[curve]]\nname = "all"\nfake.source = "m1"\nm2.weights = [1, 1]\n'
    )
    assert pipe.fits[0].ridge == 0
    other = s.recipe.build(s.curves[1])
    assert repr(other.samples[1].source) == "m1"
    assert other.fits[1].weights == (1, 1)
    assert s.recipe.build().fits[0].ridge == sp.Float(0.1)


def test_a_name_used_by_formulas_is_declared_by_giving_it_a_value(load):
    pipe, s = load(GRAPH.replace('"lam"', '"2*alpha"') + "[values]\nalpha = 0.5\n")
    assert pipe.fits[1].ridge == 2 * symbols.declared("alpha")
    assert s.values == {"alpha": 0.5}


def test_recipes_pickle(load):
    _, s = load(CURVES)
    again = pickle.loads(pickle.dumps(s))
    assert [*again.recipe.build(again.curves[1], generations=2).parameters()] == [
        *s.recipe.build(s.curves[1], generations=2).parameters()
    ]


def test_arrays_come_from_beside_the_file(load, tmp_path):
    np.save(tmp_path / "s.npy", [3.0, 1.0])
    np.save(tmp_path / "e.npy", [1.0, 1.0])
    _, s = load('spectrum = "file:s.npy"\ntarget = "file:e.npy"\n' + GRAPH)
    np.testing.assert_array_equal(s.spectrum.eigenvalues, [3, 1])
    np.save(tmp_path / "e.npy", [1.0, 1.0, 1.0])
    with pytest.raises(ct.DomainError, match="same length"):
        load('spectrum = "file:s.npy"\ntarget = "file:e.npy"\n' + GRAPH)


BAD = {
    "bad toml": ("a = = 1", ct.ParseError, "readable TOML"),
    "empty": ("", ct.PipelineError, r"\[\[sample\]\] and \[\[fit\]\]"),
    "fits missing": ('[[sample]]\nname = "a"\nT = 3', ct.PipelineError, "got"),
    "unknown top key": ("sed = 0\n" + GRAPH, ct.ParseError, "did you mean 'seed'"),
    "unknown sample key": (
        GRAPH.replace("noise = 0.5", "nosie = 0.5"),
        ct.ParseError,
        r"\[\[sample\]\] number 1.*did you mean 'noise'",
    ),
    "unknown fit key": (GRAPH.replace("ridge = 0.1", "rigde = 0.1"), ct.ParseError, "did you mean 'ridge'"),
    "unknown sample": (GRAPH.replace('["real"]', '["rael"]'), ct.PipelineError, "fit 'm1'.*did you mean 'real'"),
    "unknown source": (GRAPH.replace("0.4*m1", "0.4*m3"), ct.ParseError, "unknown name 'm3'"),
    "later fit": (GRAPH.replace("0.4*m1", "0.4*m2"), ct.PipelineError, "sample 'fake'.*got 'm2', which is later"),
    "unknown design": (GRAPH.replace('T = "2*T"', 'design = "rael"'), ct.PipelineError, "did you mean 'real'"),
    "design of itself": (GRAPH.replace('T = "2*T"', 'design = "fake"'), ct.PipelineError, "depends on this one"),
    "no name": (GRAPH.replace('name = "m1"', ""), ct.ParseError, "needs a name"),
    "name twice": (GRAPH.replace('name = "fake"', 'name = "real"'), ct.PipelineError, "twice"),
    "name not an identifier": (GRAPH.replace('"real"', '"re al"'), ct.ParseError, "identifier"),
    "name truth": (GRAPH.replace('"real"', '"truth"'), ct.PipelineError, "truth"),
    "no data": (GRAPH.replace('data = ["real"]', ""), ct.PipelineError, "needs data"),
    "data not a list": (GRAPH.replace('["real"]', '"real"'), ct.PipelineError, "needs a list"),
    "data of numbers": (GRAPH.replace('["real"]', "[1]"), ct.PipelineError, "samples of the file"),
    "no rows": (GRAPH.replace("T = 600", ""), ct.PipelineError, "T and design"),
    "rows negative": (GRAPH.replace("T = 600", "T = -6"), ct.PipelineError, "T needs to be > 0"),
    "rows a list": (GRAPH.replace("T = 600", "T = [6]"), ct.PipelineError, "real number"),
    "rows true": (GRAPH.replace("T = 600", "T = true"), ct.PipelineError, "real number"),
    "noise nan": (GRAPH.replace("noise = 0.5", "noise = nan"), ct.PipelineError, "finite"),
    "weights of wrong length": (GRAPH.replace(', "3/4"]', "]"), ct.PipelineError, "one value per sample"),
    "unknown symbol": (GRAPH.replace('"lam"', '"lamm"'), ct.ParseError, "did you mean 'lam'"),
    "code": (GRAPH.replace('"2*T"', "\"__import__('os').getcwd()\""), ct.ParseError, "unexpected character"),
    "source not text": (GRAPH.replace('"0.6*truth + 0.4*m1"', "3"), ct.ParseError, "text"),
    "pool with noise": (
        GRAPH + '[[sample]]\nname = "p"\npool = ["real"]\nT = 3\nnoise = 1\n',
        ct.PipelineError,
        "pool",
    ),
    "sample not tables": ("sample = [1]\nfit = [2]", ct.ParseError, r"\[\[sample\]\]"),
    "sample not a list": ("sample = 1\nfit = 2", ct.ParseError, "a list"),
    "both": ("generations = 1\n" + REPLACE + GRAPH, ct.PipelineError, "either"),
    "unknown workflow": (REPLACE.replace("replace", "replase"), ct.ParseError, "did you mean 'replace'"),
    "workflow not text": ("workflow = 3", ct.ParseError, "text in quotes"),
    "unknown argument": ("generation = 1\n" + REPLACE, ct.ParseError, "did you mean 'generations'"),
    "argument of another workflow": ("generations = 1\nk = 3\n" + REPLACE, ct.ParseError, "'k'"),
    "unknown stage key": (
        "generations = 1\n" + REPLACE.replace("noise", "nosie"),
        ct.ParseError,
        "generator.*did you mean 'noise'",
    ),
    "stage not a table": ('workflow = "accumulate"\ngenerations = 1\nstage = 3', ct.ParseError, "is a table"),
    "argument a table": (
        'workflow = "accumulate"\n[stage]\nT = 3\n[generations]\nx = 1',
        ct.ParseError,
        "single value",
    ),
    "argument missing": (REPLACE, ct.PipelineError, "needs generations"),
    "stage missing": ('workflow = "accumulate"\ngenerations = 1', ct.PipelineError, r"\[stage\]"),
    "stage without rows": ('workflow = "accumulate"\ngenerations = 1\n[stage]\nnoise = 1', ct.PipelineError, "needs T"),
    "argument out of range": ("generations = -1\n" + REPLACE, ct.PipelineError, "generations"),
    "argument a range": ('generations = "0..5"\n' + REPLACE, ct.ParseError, "generations"),
    "choice": ('workflow = "accumulate"\ngenerations = 1\ndesign = "frsh"\n[stage]\nT = 3', ct.PipelineError, "one of"),
    "seed a float": ("seed = 0.5\n" + GRAPH, ct.ParseError, "an integer"),
    "seed true": ("seed = true\n" + GRAPH, ct.ParseError, "an integer"),
    "seed negative": ("seed = -1\n" + GRAPH, ct.DomainError, ">= 0"),
    "one trial": ("trials = 1\n" + GRAPH, ct.DomainError, ">= 2"),
    "too many trials": ("trials = 100_000_001\n" + GRAPH, ct.DomainError, "trials"),
    "no jobs": ("jobs = 0\n" + GRAPH, ct.DomainError, "jobs"),
    "title a number": ("title = 3\n" + GRAPH, ct.ParseError, "text in quotes"),
    "unknown data": ('data = "digit"\n' + GRAPH, ct.ParseError, "did you mean 'digits'"),
    "data and spectrum": ('data = "digits"\n' + HEAD + GRAPH, ct.ParseError, "either data or"),
    "target alone": ('target = "random"\n' + GRAPH, ct.ParseError, "spectrum"),
    "source without power law": (
        'spectrum = "isotropic:d=3"\ntarget = "source:r=1"\n' + GRAPH,
        ct.DomainError,
        "PowerLaw",
    ),
    "spectrum misspelt": ('spectrum = "powerlow:d=3"\n' + GRAPH, ct.ParseError, "did you mean 'powerlaw'"),
    "unknown inputs": ('inputs = ["reel"]\n' + GRAPH, ct.ParseError, "did you mean 'real'"),
    "real inputs without data": ('inputs = ["real"]\n' + GRAPH, ct.ParseError, "needs data"),
    "sweep of nothing": (GRAPH + "[sweep]\nlam0 = 1\n", ct.ParseError, "did you mean 'lam'"),
    "sweep a misspelt argument": (
        "generations = 1\n" + REPLACE + "[sweep]\ngenerator.rigde = [0, 1]\n",
        ct.ParseError,
        "did you mean 'generator.ridge'",
    ),
    "sweep empty": (GRAPH + "[sweep]\nlam = []\n", ct.DomainError, "at least one"),
    "sweep of words": (GRAPH + '[sweep]\nlam = "lots"\n', ct.ParseError, r"\[sweep\] lam.*unknown name"),
    "sweep not a table": ("sweep = 3\n" + GRAPH, ct.ParseError, "a table"),
    "sweep nan": (GRAPH + "[sweep]\nlam = [nan]\n", ct.DomainError, "finite"),
    "values of a list": (GRAPH + '[values]\nlam = "1,2"\n', ct.DomainError, "one finite number"),
    "values unknown": (GRAPH + "[values]\nlamb = 1\n", ct.ParseError, "did you mean 'lam'"),
    "values true": (GRAPH + "[values]\nlam = true\n", ct.DomainError, "one finite number"),
    "curve without name": (GRAPH + "[[curve]]\nlam = 1\n", ct.ParseError, "needs a name"),
    "curve of nothing": (GRAPH + '[[curve]]\nname = "a"\nm1.rigde = 1\n', ct.ParseError, "did you mean 'm1.ridge'"),
    "curves of one name": (GRAPH + '[[curve]]\nname = "a"\n[[curve]]\nname = "a"\n', ct.ParseError, "differ"),
    "curve that cannot be built": (GRAPH + '[[curve]]\nname = "a"\nm1.ridge = -1\n', ct.PipelineError, ">= 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case, load):
    text, error, what = BAD[case]
    with pytest.raises(error, match=f"(?s){what}") as e:
        load(text)
    assert "p.toml" in str(e.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ct.ParseError, match="exist"):
        ct.load(tmp_path / "missing.toml")
    with pytest.raises(ct.ParseError, match="readable"):
        ct.load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    with pytest.raises(ct.ParseError, match="readable"):
        ct.load(tmp_path / "latin.toml")


def test_overrides_are_checked(load):
    _, s = load("generations = 1\n" + REPLACE)
    with pytest.raises(ct.ParseError, match="did you mean 'generations'"):
        s.recipe.build(generation=3)
    with pytest.raises(ct.ParseError, match="unknown name"):
        s.recipe.build(**{"generator.ridge": "rigde"})


def test_cycles_are_refused(load):
    with pytest.raises(ct.PipelineError, match="break the cycle"):
        load('[[sample]]\nname="a"\nT=3\nsource="m"\n[[fit]]\nname="m"\ndata=["a"]\n')
