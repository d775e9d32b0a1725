"""What the gallery needs of a report: other families, kernels of data, a method; and the gallery itself."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.describe.data import dataset
from collapse_theory.describe.mnist import mnist
from collapse_theory.describe.strings import kernel
from collapse_theory.present.document import study_document
from collapse_theory.present.figures import draw_study
from collapse_theory.present.report import study_data
from collapse_theory.study.report_study import run_study

ROOT = Path(ct.__file__).parent.parent
FILES = sorted((ROOT / "examples" / "gallery").glob("*.toml"))
TOKENS = """
family = "zipf:tokens=8,beta=1"
measured = "total variation"
workflow = "replace"
trials = 300
[generator]
T = "T"
[downstream]
T = "T"
[sweep]
generations = [0, 2]
T = [6, 20]
"""


@pytest.fixture
def load(tmp_path):
    def read(text):
        (tmp_path / "a.toml").write_text(text, encoding="utf-8")
        return ct.load(tmp_path / "a.toml")[1]

    return read


# ------------------------------------------------------------------ the gallery
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_every_figure_has_its_file_its_picture_and_its_sentence(file):
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    picture = ROOT / "docs" / "gallery" / f"{file.stem}.png"
    assert f"gallery/{file.stem}.png" in page
    assert f"examples/gallery/{file.name}" in page
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert picture.stat().st_size <= 150_000
    if "mnist" not in file.stem:  # its images are not in the package
        settings = ct.load(file)[1]
        assert settings.sweep
        assert len(settings.title) <= 120


# ------------------------------------------------------------------ families
def test_a_report_of_tokens_compares_what_is_measured(load):
    study = run_study(load(TOKENS))
    family = ct.Categorical((1 / np.arange(1, 9)) / (1 / np.arange(1, 9)).sum())
    pipe = ct.workflows.replace(2, ct.Stage(T=20), ct.Stage(T=20))
    assert study.series[1].points[1].theory == pytest.approx(family.total_variation(pipe).value, rel=1e-12)
    checks = [c for _, _, c in study.checks("rows")]
    assert len(checks) == 4
    assert all(c.passed for c in checks)
    assert not any(abs(1.15 * c.theory - c.simulation.mean) < 4 * c.simulation.sem for c in checks)
    assert study_data(study)["series"][0]["method"] == "Wright-Fisher chain"
    assert "total variation of the last fit" in study_document(study)
    assert draw_study(study).axes[0].get_ylabel() == "total variation"


def test_curves_of_several_families_and_their_test_error(load):
    text = TOKENS.replace('family = "zipf:tokens=8,beta=1"\nmeasured = "total variation"\n', "").replace(
        "T = [6, 20]", ""
    )
    text = text.replace("trials = 300", "trials = 100")
    text += "".join(f'[[curve]]\nname = "{d}"\nfamily = "gaussian:d={d}"\nT = 10\n' for d in (1, 4))
    study = run_study(load(text))
    assert [s.formula.regime for s in study.series] == ["exact", "exact"]
    assert all(c.passed for _, _, c in study.checks("rows"))
    assert study.series[1].points[1].theory == pytest.approx(1 - 0.9**3)


@pytest.mark.parametrize(
    ("family", "measured", "want"),
    [
        (ct.Gaussian(3), "variance", 0.81),
        (ct.Gaussian(1), "log variance", None),
        (ct.Categorical([0.5, 0.5]), "diversity", 0.405),
        (ct.Categorical([0.5, 0.3, 0.2]), "distinct tokens", None),
    ],
)
def test_what_is_measured_has_the_mean_that_is_expected(family, measured, want):
    pipe = ct.workflows.replace(1, ct.Stage(T=10), ct.Stage(T=10))
    found = family.expected(pipe, measured=measured)
    assert found.exact
    if want is not None:
        assert found.value == pytest.approx(want)
    sim = ct.simulate(pipe, family=family, measured=measured, trials=400)
    assert abs(sim.mean - found.value) < 4 * sim.sem
    assert abs(sim.mean - 1.5 * found.value) > 4 * sim.sem


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('measured = "total variation"', 'measured = "entropy"'), "measured needs"),
        (("zipf:tokens=8,beta=1", "zip:tokens=8"), "family needs a known kind"),
        (("zipf:tokens=8,beta=1", "zipf:beta=1"), "needs tokens"),
        (("zipf:tokens=8,beta=1", "zipf:tokens=0"), "tokens"),
        (('family = "zipf:tokens=8,beta=1"\n', ""), "measured needs a family"),
        (("trials = 300", 'trials = 300\nspectrum = "isotropic:d=3"'), "spectrum belongs to linear regression"),
        (("trials = 300", 'trials = 300\nmethod = "exact"'), "method belongs to linear regression"),
        (("trials = 300", 'trials = 300\ninputs = ["real"]'), "inputs needs some of rows"),
    ],
)
def test_a_wrong_family_is_refused(load, change, said):
    with pytest.raises(ct.CollapseTheoryError, match=said):
        run_study(load(TOKENS.replace(*change)))


# ------------------------------------------------------------------ kernels
KERNEL = """
data = "digits"
rows = 200
kernel = "rbf:gamma=0.02"
workflow = "replace"
trials = 30
[generator]
T = 60
noise = 0.3
ridge = 0.001
[downstream]
T = 40
noise = 0.3
ridge = 0.01
[sweep]
generations = [0, 2]
"""


def test_a_report_on_the_kernel_of_data(load):
    settings = load(KERNEL)
    assert settings.inputs == ("real",)
    study = run_study(settings)
    gaps = [c.relative_gap for _, _, c in study.checks("real")]
    assert len(gaps) == 2
    assert max(map(abs, gaps)) < 0.15
    X, y = settings.data.X, settings.data.y
    K = np.exp(-0.02 * ((X[:, None] - X[None]) ** 2).sum(-1))
    spectrum, target = ct.from_kernel(K, y)
    want = ct.test_error(settings.recipe.build(generations=2)).evaluate(spectrum=spectrum, target=target)
    assert study.series[0].points[1].theory == pytest.approx(want, rel=1e-8)


def test_kernels_of_a_few_points():
    X = np.array([[1.0, 0.0], [0.5, 2.0], [0.5, 2.0]])
    found = kernel("polynomial:degree=3,gamma=1/2,offset=2").matrix(X)
    np.testing.assert_allclose(found, (X @ X.T / 2 + 2) ** 3)
    np.testing.assert_allclose(kernel("polynomial:degree=2").matrix(X), (X @ X.T / 2 + 1) ** 2)
    found = kernel("rbf:gamma=0.3").matrix(X)
    assert found[1, 2] == found[0, 0] == 1
    assert found[0, 1] == pytest.approx(np.exp(-0.3 * 4.25))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"rbf:gamma=0.02"', '"laplace:gamma=1"'), "kernel needs a known kind"),
        (('"rbf:gamma=0.02"', '"rbf:gamma=-1"'), "gamma"),
        (('"rbf:gamma=0.02"', '"polynomial:degree=1/2"'), "degree"),
        (("rows = 200", "rows = 9999"), "rows needs"),
        (('data = "digits"', 'spectrum = "isotropic:d=9"'), "rows: ?|rows needs data"),
    ],
)
def test_a_wrong_kernel_is_refused(load, change, said):
    with pytest.raises(ct.CollapseTheoryError, match=said):
        load(KERNEL.replace(*change))


def test_a_method_of_a_file(load):
    text = (
        'spectrum = "isotropic:d=20"\ntarget = "random:norm2=1"\nworkflow = "replace"\ninputs = []\ngenerations = 2\n'
    )
    text += "[generator]\nT = 10\n[downstream]\nT = 10\n"
    with pytest.raises(ct.DomainError, match="operator"):
        run_study(load(text))
    study = run_study(load('method = "operator"\n' + text))
    assert study.series[0].points[0].theory == pytest.approx(1 - 0.5**3)


# ------------------------------------------------------------------ MNIST
def idx(magic, shape, content):
    return magic.to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in shape) + bytes(content)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COLLAPSE_THEORY_MNIST", str(tmp_path))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, 5 * 784, dtype=np.uint8)
    images, labels = idx(0x803, (5, 28, 28), pixels), idx(0x801, (5,), [3, 1, 4, 1, 5])
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(labels)
    return tmp_path, pixels


def test_mnist_from_a_local_copy(folder):
    _, X, y = mnist()
    np.testing.assert_array_equal(X, folder[1].reshape(5, 784) / 255)
    labels = np.array([3, 1, 4, 1, 5])
    np.testing.assert_allclose(y, (labels - labels.mean()) / labels.std())


def test_a_damaged_copy_of_mnist_is_refused(folder):
    path = folder[0] / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for content, said in (
        (whole[:-20], "can be read"),
        (b"no archive", "can be read"),
        (gzip.compress(b"\x00" * 99), "IDX format"),
        (gzip.compress(idx(0x803, (1, 28, 28), [0] * 784)), "one label per image"),
    ):
        path.write_bytes(content)
        with pytest.raises(ct.DomainError, match=said):
            mnist()
    path.unlink()
    with pytest.raises(ct.DomainError, match="without them; correct the variable"):
        mnist()


def test_without_a_copy_or_a_network_the_message_says_what_to_do(monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.delenv("COLLAPSE_THEORY_MNIST", raising=False)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    with pytest.raises(ct.DomainError, match="set COLLAPSE_THEORY_MNIST to a folder"):
        mnist()


def test_rows_of_a_data_set_are_standardised_anew():
    found = dataset("digits", 200)
    assert found.y.shape == (200,)
    assert (found.y.mean(), found.y.std()) == pytest.approx((0, 1), abs=1e-12)
