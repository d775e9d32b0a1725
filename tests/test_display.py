"""Results show themselves, names are near, the version is one, and nothing but a PDF needs a TeX engine."""

import pickle
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.core.attributes import Displayed, NearNames
from collapse_theory.present.notebook import html, table
from collapse_theory.symbols import scale_exponent
from tests.helpers import call

ROOT = Path(__file__).parent.parent
PIPE = ct.workflows.replace(1, ct.Stage(T=60, noise=0.3), ct.Stage(T=80, noise=0.2, ridge=ct.symbols.lam))
WHERE = {"spectrum": ct.Isotropic(10), "target": ct.RandomTarget(norm2=1)}
OLS = ct.catalog["ols-replace"].error


class Page(HTMLParser):
    """The text of a page by its tags, which must close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.rows = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if "td" in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(self.words)

    def row(self, name):
        return next(r[1:] for r in self.rows if r and r[0] == name)


def page(x):
    text = x._repr_html_()
    assert "overflow-x:auto" in text or isinstance(x, ct.ClaimCheck)  # it scrolls on a narrow screen
    return Page(text)


def test_a_theorem_shows_its_statement():
    theorem = ct.catalog["ridge-replace"]
    found = page(theorem)
    assert theorem.title in found.text
    assert theorem.hypotheses in found.text
    assert theorem.latex() in found.text  # what MathJax reads, once HTML is unescaped
    assert found.row("regime") == ["proportional"]
    assert "Model Collapse Demystified" in found.row("sources")[0]


def test_the_catalogue_shows_every_theorem():
    assert [r[0] for r in page(ct.catalog).rows if r] == list(ct.catalog)


def test_comparisons_show_their_numbers():
    sim = ct.simulate(PIPE, **WHERE, trials=40, lam=0.1)
    assert float(page(sim).row("mean test error")[0]) == pytest.approx(sim.mean, rel=1e-5)
    check = ct.validate(ct.test_error(PIPE), **WHERE, trials=400, lam=0.1)
    found = page(check)
    assert ("passed" in found.text) == check.passed
    assert found.row("z") == [f"{check.z:+.2f}"]
    assert float(found.row("theory")[0]) == pytest.approx(check.theory, rel=1e-5)


def test_a_diagnosis_shows_its_scores():
    found = ct.diagnose(np.random.default_rng(0).standard_normal((200, 5)), T=30)
    shown = page(found)
    assert found.verdict in shown.text
    assert found.reason in shown.text
    for name, score in found.scores.items():
        assert float(shown.row(name)[0]) == pytest.approx(score, rel=1e-5, abs=1e-300)


def test_optima_and_estimates_show_values():
    err = ct.catalog["ridge-replace"].error
    best = ct.optimal_ridge(err, **WHERE, n=np.arange(20), T=60, T0=90, sigma=0.3, sigma0=0.5)
    rows = [r for r in page(best).rows if r]
    assert len(rows) == 13  # six, an ellipsis, six
    assert float(rows[-1][0]) == pytest.approx(best.value[-1], rel=1e-5)
    n = np.array([1, 2, 3, 4])
    curve = OLS.evaluate(spectrum=ct.Isotropic(10), n=n, T=60, T0=90, sigma=0.3, sigma0=0.5)
    fit = OLS.infer(curve, over="sigma0", errors=0.01 * curve, n=n, T=60, T0=90, sigma=0.3, **WHERE)
    assert float(page(fit).row("sigma0")[0]) == pytest.approx(0.5, rel=1e-4)
    even = ct.catalog["ols-accumulate-fixed-design"].error.break_even("T", level=0.1, n=2, sigma=0.3, **WHERE)
    assert f"{even.value}" in page(even).text
    sizes = np.geomspace(10, 1e4, 12)
    law = ct.fit_law(0.5 + 3 * sizes**-0.5, N=sizes, draws=5)
    assert float(page(law).row("a")[0]) == pytest.approx(0.5, rel=1e-3)
    exponents = ct.fit_exponents(ct.PowerLaw(300, beta=1.5), ct.SourceTarget(r=0.4), draws=5)
    assert float(page(exponents).row("beta")[0]) == pytest.approx(1.5, rel=1e-5)


def test_rates_and_claims_show_themselves():
    rates = ct.rates(ct.catalog["ridge-clean"], beta=2, r=0.5)
    assert r"c^* &= \frac{2}{3}" in page(rates).text
    claim = ct.check_claim("sigma^2*d/(T-d)", "ols-replace", "lower-bounds", draws=5)
    assert str(claim) in page(claim).text


def test_text_is_escaped():
    assert "&lt;b&gt;" in table(["<b>"], [("<i>", 1)])
    assert html(SimpleNamespace(x="<script>")) == "<pre>namespace(x=&#x27;&lt;script&gt;&#x27;)</pre>"


def test_every_displayed_class_has_a_form_of_its_own():
    classes = list(Displayed.__subclasses__())
    assert len(classes) >= 12
    assert all(html.dispatch(c) is not html.dispatch(object) for c in classes)


def test_formulas_and_pictures_show_themselves():
    assert OLS._repr_latex_().startswith("$$\n\\begin{aligned}")
    assert ct.catalog["ols-replace"].latex() == OLS.latex()
    assert PIPE._repr_svg_().count("</svg>") == 1
    assert PIPE.draw()._repr_svg_().count("</svg>") == 1
    phases = ct.rates(ct.catalog["ridge-replace"], beta=2, r=0.5, b=scale_exponent("b"))
    assert "</svg>" in phases.draw()._repr_svg_()


@pytest.mark.parametrize(
    ("lookup", "message"),
    [
        (lambda: ct.catalg, "did you mean 'catalog'?"),
        (lambda: ct.Pipline, "did you mean 'Pipeline'?"),
        (lambda: ct.symbols.sgima, "did you mean 'sigma'?"),
        (lambda: ct.symbols.q, "the notation has d, T, T0"),
        (lambda: ct.workflows.replac, "did you mean 'replace'?"),
        (lambda: ct.catalog["ols-replace"].eror, "Theorem has no attribute 'eror'; did you mean 'error'?"),
        (lambda: OLS.evalute, "did you mean 'evaluate'?"),
        (lambda: PIPE.sampel, "did you mean 'sample'?"),
        (lambda: ct.catalog.itmes, "did you mean 'items'?"),
        (lambda: PIPE.qqq, "Pipeline has no attribute 'qqq'"),
    ],
)
def test_near_attributes(lookup, message):
    with pytest.raises(AttributeError) as e:
        lookup()
    assert message in str(e.value)


@pytest.mark.parametrize(
    ("lookup", "message"),
    [
        (lambda: ct.catalog["ridge-replac"], "did you mean 'ridge-replace'?"),
        (lambda: ct.test_error(PIPE, method="opertor"), "did you mean 'operator'?"),
        (lambda: OLS.evaluate(sgima=1), "did you mean 'sigma'?"),
    ],
)
def test_near_names(lookup, message):
    with pytest.raises(ct.CollapseTheoryError) as e:
        lookup()
    assert message in str(e.value)


def test_an_attribute_error_inside_a_property_is_told_as_it_is():
    class Broken(NearNames):
        @property
        def value(self):
            return None.nothing

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'nothing'"):
        _ = Broken().value
    assert not hasattr(Broken(), "_repr_png_")
    assert pickle.loads(pickle.dumps(PIPE)).fits[0].name == "m1"


def test_the_version_is_that_of_the_metadata():
    assert ct.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert call("--version").stdout == f"collapse-theory {ct.__version__}\n"


def test_without_a_tex_engine_everything_else_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    file = tmp_path / "small.toml"
    file.write_text(
        'spectrum = "isotropic:d=5"\ntarget = "random:norm2=1"\n[[sample]]\nname = "real"\nT = 20\nnoise = 0.3\n'
        '[[fit]]\nname = "m"\ndata = ["real"]\nridge = "lam"\n[sweep]\nlam = "0.1,0.2"\n'
    )
    done = call("report", str(file), "-o", str(tmp_path / "out"))
    there = {p.name for p in (tmp_path / "out").iterdir()}
    assert there == {
        "report.bib",
        "report.tex",
        "report.csv",
        "report.json",
        "figure.pdf",
        "figure.png",
        "pipeline.pdf",
        "pipeline.png",
    }
    assert "no TeX engine was found, so report.tex is not compiled" in done.stderr
    assert "Install one of pdflatex" in done.stderr
    assert "no TeX engine" not in done.stdout
    assert ct.catalog["ols-replace"].statement()
    assert PIPE._repr_svg_()
