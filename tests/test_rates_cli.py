"""``collapse-theory rates``: tables, data, checks and pictures are what ``ct.rates`` says."""

import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory.present.rate_figures import phase_regions
from collapse_theory.symbols import ell
from tests.helpers import call, call_json

Q = sp.Rational
CLEAN = ("rates", "ridge-clean", "--set", "beta=2", "--set", "r=0.5")
PIPELINE = """
[[sample]]
name = "real"
T = "T"
noise = 0.5
[[fit]]
name = "m1"
data = ["real"]
ridge = "lam"
"""


def test_data_are_those_of_the_library():
    data = call_json("rates", "ridge-replace", "--set", "beta=2", "--set", "r=0.5")
    found = ct.rates(ct.catalog["ridge-replace"], beta=2, r=Q(1, 2))
    assert (data["optimal_ell"], data["optimal_exponent"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert sp.S(data["exact"]["optimal_ell"]) == found.optimal_ell
    assert data["exponent"] == "Piecewise((ell, ell <= 2/3), (1 - ell/2, 2/3 < ell))" == str(found.exponent)
    assert [(x["exponent"], x["where"]) for x in data["pieces"]] == [(str(e), str(c)) for e, c in found.exponent.args]
    assert data["terms"]["variance"] == "1 - ell/2"
    assert data["plateau"] == {
        "exponent": pytest.approx(2 / 3),
        "optimal_ell": pytest.approx(2 / 3),
        "reached": "variance**(-1/3)",
    }
    assert [x["at"] for x in data["crossovers"]] == [str(x.at) for x in found.crossovers]
    assert data["scales"] == {"d": 1, "T": 1, "T0": 1, "lam": "-ell"}
    fixed = call_json(*CLEAN, "--set", "ell=1/2", "--set", "gamma_sigma=oo")
    assert (fixed["exponent"], fixed["optimal_ell"], fixed["plateau"]) == (0.5, None, None)
    assert fixed["scales"]["sigma"] == "-oo"
    assert call_json("rates", "ridge-clean")["optimal_exponent"] == str(
        ct.rates(ct.catalog["ridge-clean"]).optimal_exponent
    )
    assert call_json("rates", "random-features-ridge", *CLEAN[2:], "--scale", "m=1/4")["optimal_ell"] == 0.5


def test_tables_show_the_cases():
    shown = call(*CLEAN[:4], "--set", "r=1").stdout
    for words in (
        "beta = 2, r = 1, d = oo",
        "1 - ell/2",
        "2/5 < ell",
        "times (log T)**k",
        "ell = 2/5",
        "power of log T",
    ):
        assert words in shown
    assert "plateau" not in shown
    assert "plateau at fixed T0" in call("rates", "ridge-replace", *CLEAN[2:]).stdout


def test_files_are_pipelines_like_any_other(tmp_path):
    file = tmp_path / "chain.toml"
    file.write_text(f'title = "x"\nspectrum = "isotropic:d=6"\ntarget = "random:norm2=1"\n{PIPELINE}')
    assert call_json("rates", str(file), *CLEAN[2:])["optimal_ell"] == pytest.approx(2 / 3)
    file.write_text(file.read_text().replace('T = "T"', "T = 40"))
    assert "grow with T" in call("rates", str(file), *CLEAN[2:], code=2).output


def test_a_check_compares_slopes_and_fails_with_one(monkeypatch):
    at = (*CLEAN, "--set", "sigma=0.5", "--set", "T=1e3,1e6", "--check")
    data = call_json(*at)["check"]
    want = ct.rates(ct.catalog["ridge-clean"], beta=2, r=Q(1, 2)).check([10**3, 10**6], sigma=0.5)
    assert data == {"T": [1e3, 1e6], "observed": list(want.observed), "predicted": want.predicted, "gaps": list(want.gaps),
                    "passed": True}  # fmt: skip
    assert "observed" in call(*at).stdout
    with monkeypatch.context() as patched:
        patched.setattr(type(want), "predicted", property(lambda _: -0.7, lambda *_: None), raising=False)
        call(*at, code=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "ell=3"), "[0, beta]"),
        (("--set", "ell=-1"), "[0, beta]"),
        (("--set", "a=-1"), "a needs"),
        (("--set", "beta=3"), "once"),
        (("--scale", "m=1"), "no symbol 'm'"),
        (("--scale", "m"), "NAME=VALUE"),
        (("--set", "sigma=1"), "--check"),
        (("--check",), "a value for sigma"),
        (("--check", "--set", "sigma=1", "--set", "T=1e3"), "two values"),
        (("--check", "--set", "sigma=1", "--set", "T=1e6,1e3"), "increasing"),
        (("--check", "--set", "sgma=1"), "sigma"),
        (("-o", "x.jpg", "--set", "ell=3/2", "--set", "sigma=1"), "svg"),
        (("-o", "x.svg", "--set", "sigma=1"), "numbers for all exponents"),
        (("-o", "x.svg", "--set", "a=a", "--set", "sigma=1"), "no values"),
        (("-o", "x.svg", "--set", "ell=1/3", "--set", "sigma=1"), "another ell"),
    ],
)
def test_bad_input_exits_with_two_and_writes_nothing(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in call(*CLEAN, *arguments, code=2).output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("--set", "beta=1"), ("--set", "r=0"), ("--set", "r=-1/2"), ("--set", "beta=x")])
def test_capacity_and_source_are_checked(arguments):
    call("rates", "ridge-clean", *arguments, code=2)


# ---------------------------------------------------------------- pictures
@pytest.mark.parametrize(
    ("slug", "arguments"),
    [
        ("ridge-replace", {"a": Q(1, 2)}),
        ("ridge-chain", {"scales": {"lam0": -1}}),
    ],
)
@pytest.mark.heavy
def test_phases_tile_the_frame_and_have_the_exponent_inside(slug, arguments):
    b = ct.symbols.scale_exponent("b")
    found = ct.rates(ct.catalog[slug], beta=2, r=Q(1, 2), b=b, **arguments)
    frame, regions = phase_regions(found, b)
    whole = sum(sp.Polygon(*p).area for polygons in regions.values() for p in map(_corners, polygons))
    assert abs(whole) == abs(sp.Polygon(*_corners(frame)).area)
    for exponent, polygons in regions.items():
        for polygon in polygons:
            x, y = (sum(c[i] for c in polygon) / len(polygon) for i in (0, 1))
            inside = ct.rates(ct.catalog[slug], beta=2, r=Q(1, 2), b=y, ell=x, **arguments)
            assert inside.exponent == exponent.subs({ell: x, b: y})
    figure = found.draw()
    texts = {t.get_text() for t in figure.axes[0].texts}
    assert texts == {f"${sp.latex(-e)}$" for e in regions}


def _corners(polygon):
    """Return the corners of a polygon without repetitions, counterclockwise."""
    kept = list(dict.fromkeys(polygon))
    doubled = sum(p[0] * q[1] - q[0] * p[1] for p, q in zip(kept, [*kept[1:], kept[0]], strict=True))
    return kept if doubled > 0 else kept[::-1]


@pytest.mark.heavy
def test_the_crossover_is_where_the_leading_terms_are_equal(tmp_path):
    found = ct.rates(ct.catalog["ridge-clean"], beta=2, r=Q(1, 2), ell=Q(3, 2))
    (axes,) = found.draw(sigma=Q(1, 100)).axes
    curve, bias, variance, mark = axes.lines
    # B = kappa/2 Gamma(1)^2, df2 = pi/4 kappa^(-1/2) at beta = 2, r = 1/2
    at = (0.5 / (1e-4 * sp.pi / 4)) ** Q(4, 5)
    assert mark.get_xdata()[0] == pytest.approx(float(at))
    i = len(curve.get_xdata()) - 1
    assert curve.get_ydata()[i] == pytest.approx(variance.get_ydata()[i], rel=0.02)
    assert bias.get_ydata()[i] < 0.01 * variance.get_ydata()[i]
    for kind in ("svg", "pdf", "png"):
        picture = tmp_path / f"x.{kind}"
        call(*CLEAN, "--set", "ell=3/2", "--set", "sigma=0.01", "-o", str(picture))
        assert picture.stat().st_size > 1000
