"""The package reads its own LaTeX: every print gives the number of the formula it was made of, under any notation."""

import pytest
from sympy import EulerGamma, Rational, Sum, digamma, gamma, harmonic, pi, polygamma, sin, sqrt

import collapse_theory as ct
from collapse_theory import symbols
from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees
from collapse_theory.algebra.feature_scalars import FeatureRidge
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace, df
from collapse_theory.algebra.named_lines import NamedLines
from collapse_theory.symbols import T0, N, T, d, eigenvalue, kappa, lam, line_name, m, n, p1, sigma, sigma0, w
from tests.golden import pipeline
from tests.points import ENERGIES, MEASURE, POINTS, D

# Printed by an operator or a name for each number of rounds: read where they are printed at a number.
UNFOLDED = {
    "ridge-replace-overparametrized", "ridge-chain", "ridge-accumulate", "ridge-accumulate-constant", "ridge-keep-real",
    "ridge-same-design", "ridge-label-mix", "features-chain", "features-replace", "flow-replace",
    "self-distillation-repeated",
}  # fmt: skip


INDEX = symbols.summation_index("i")


def measure_of(err):
    return {"spectrum": ct.Isotropic(D), "target": ct.Energies(ENERGIES)} if err.isotropic else MEASURE


def value(err, measure, values):
    used = {x.name for x in err.free_symbols}
    return err.evaluate(**measure, **{k: v for k, v in values.items() if k in used})


def assert_read_back(err, measure, values, rel=1e-10):
    text = err.latex()
    read = ct.read_latex(text)
    assert value(read, measure, values) == pytest.approx(value(err, measure, values), rel=rel)
    return text, read


@pytest.mark.parametrize("slug", [s for s in POINTS if s not in UNFOLDED])
def test_every_theorem_is_read_back(slug):
    err, values = ct.catalog[slug].error, POINTS[slug].values
    text, read = assert_read_back(err, measure_of(err), values)
    assert {x.name for x in read.free_symbols} <= {x.name for x in err.free_symbols}
    wrong = text.replace("E &= ", "E &= 2 \\cdot ", 1) if len(err.terms) == 1 else text.replace(" + V", " - V", 1)
    if value(err, measure_of(err), values) and wrong != text:  # control: another page gives another number
        assert value(ct.read_latex(wrong), measure_of(err), values) != pytest.approx(
            value(err, measure_of(err), values), rel=1e-10
        )


@pytest.mark.parametrize("slug", [s for s in POINTS if "n" in POINTS[s].values])
@pytest.mark.heavy
def test_every_theorem_at_two_rounds_is_read_back(slug):
    values = {k: v for k, v in POINTS[slug].values.items() if k != "n"}
    err = ct.catalog[slug].at(2)
    assert_read_back(err, measure_of(err), values)


@pytest.mark.parametrize("slug", ["ridge-replace", "ols-replace", "ols-accumulate", "ridge-clean", "strong-collapse"])
@pytest.mark.parametrize("name", ["T", "sigma", "lam", "N"])
def test_derivatives_are_read_back(slug, name):
    values = POINTS[slug].values
    if name in values:
        assert_read_back(ct.catalog[slug].error.diff(name), MEASURE, values, rel=1e-8)


def pipelines_of_the_page(seeds):
    """Yield drawn pipelines whose page says all: their terms are not printed by a name for each number of rounds."""
    for seed in seeds:
        pipe, measure, values = pipeline(seed)
        err = ct.test_error(pipe)
        if r"\mathrm{bias}" not in err.latex():
            yield err, measure, values


@pytest.mark.parametrize("seeds", [[0, 2, 3, 4, 7, 12, 31, 35], pytest.param(range(8, 125), marks=pytest.mark.heavy)])
@pytest.mark.heavy
def test_pipelines_are_read_back(seeds):
    read = [assert_read_back(err, measure, values, rel=1e-9) for err, measure, values in pipelines_of_the_page(seeds)]
    assert len(read) >= 0.85 * len(seeds)


def test_a_notation_map_is_that_of_a_paper():
    text = r"\frac{\sigma_\varepsilon^2 d}{n-d-1} + \gamma \operatorname{tr}\left[C(C+\kappa I)^{-1}\right]"
    notation = {"T": "n", "lam": r"\gamma", "sigma": r"\sigma_{\varepsilon}", "Sigma": "C"}
    assert ct.read_latex(text, notation=notation) == d * sigma**2 / (T - d - 1) + lam * df(1, kappa)
    assert ct.read_latex(r"\alpha T", notation={"alpha": r"\alpha"}) == symbols.declared("alpha") * T
    with pytest.raises(ct.ParseError, match="one symbol per printed name"):
        ct.read_latex("n", notation={"T": "n", "T0": "n"})


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (r"\frac12 T", T / 2),
        (r"\dfrac{T}{2}\,n", T * n / 2),
        (r"T_0^2 + T^2_0 + T_{0}^{2}", 3 * T0**2),
        (r"2\cdot-3", -6),
        (r"d/(T-d-1)", d / (T - d - 1)),
        (r"3H_n^{(2)}-2H_{n}", 3 * harmonic(n, 2) - 2 * harmonic(n)),
        (r"\sin\frac\pi{\sqrt T}\,\Gamma(n+1)^2", sin(pi / sqrt(T)) * gamma(n + 1) ** 2),
        (r"\sin^2(T)", sin(T) ** 2),
        (r"\psi(1)-\psi\left(1-\frac dT\right)", -EulerGamma - digamma(1 - d / T)),
        (r"\psi^{(1)}(T)+\psi_1(T)+\operatorname{polygamma}{\left(1,T\right)}", 3 * polygamma(1, T)),
        (r"\zeta(2)\bigl[1-w\bigr]", pi**2 * (1 - w) / 6),
        (r"\sum_{i=1}^{n}\frac{\sigma^2}{i^2}", Sum(sigma**2 / INDEX**2, (INDEX, 1, n))),
        (r"\sum_{i=1}^3 i + 1", 7),
        (r"\mathrm{df}_2(\kappa)^2", df(2, kappa) ** 2),
        (r"\operatorname{df}_1(\kappa)", df(1, kappa)),
        (r"\mathrm{tr}\,\Sigma", SpectralTrace(eigenvalue)),
        (r"\operatorname{tr}[I]", d),
        (r"\|w_0\|_\Sigma^2+\lVert", None),
        (r"\|w_0\|^2", QuadraticForm(1)),
        (r"w_0^{\top}\Sigma(\Sigma+\kappa I)^{-2} w_0\,T", T * QuadraticForm(eigenvalue / (eigenvalue + kappa) ** 2)),
        (r"\underbrace{p_1}_{\text{real}}+\rho^2", p1 + symbols.rho2),
        (r"1 - \sqrt[3]{T}", 1 - T ** Rational(1, 3)),
        (r"\exp(-T)e^{T}", 1),
    ],
)  # fmt: skip
def test_what_a_person_writes(text, want):
    if want is None:
        with pytest.raises(ct.ParseError, match="unknown command"):
            ct.read_latex(text)
    else:
        assert ct.read_latex(text) - want == 0


RIDGE = r"E = \frac{\sigma^2\,\mathrm{df}_2(\kappa)}{T-\mathrm{df}_2(\kappa)},\quad "


@pytest.mark.parametrize(
    "equation",
    [
        r"\kappa = \lambda + \frac{\kappa\,\mathrm{df}_1(\kappa)}{T}",
        r"\kappa - \lambda = \kappa\,\mathrm{df}_1(\kappa)/T",
        r"T(\kappa - \lambda) = \kappa\,\mathrm{df}_1(\kappa)",
        r"\kappa = \frac{\lambda}{1-\mathrm{df}_1(\kappa)/T}",
        r"\kappa = \lambda + \frac{\kappa}{T}\operatorname{tr}\left[\Sigma(\Sigma+\kappa I)^{-1}\right]",
    ],
)
def test_an_effective_ridge_is_recognised_in_any_form(equation):
    read = ct.read_latex(RIDGE + equation)
    x = EffectiveRidge(T, lam)
    assert read.expr == sigma**2 * df(2, x) / ResidualDegrees(T, lam)
    assert read.regime == "proportional"


def test_without_a_ridge_and_with_random_features():
    read = ct.read_latex(RIDGE + r"\mathrm{df}_1(\kappa) = T")
    assert read.expr.atoms(EffectiveRidge) == {EffectiveRidge(T, 0)}
    inputs = r"\kappa - \kappa_1 = \kappa\,\mathrm{df}_1(\kappa)/m"
    features = r"\kappa_1-\lambda=\kappa_1\,\mathrm{df}_1(\kappa)/T"
    kappa = EffectiveRidge(m, FeatureRidge(T, m, lam))
    assert ct.read_latex(rf"E = \kappa,\quad {inputs},\quad {features}").expr == kappa
    for line in (
        r"\frac{T \lambda m}{\left(T - \mathrm{df}_1(\kappa)\right)\left(m - \mathrm{df}_1(\kappa)\right)}",
        r"\lambda / ((1 - \mathrm{df}_1(\kappa)/T) (1 - \mathrm{df}_1(\kappa)/m))",
    ):
        read = ct.read_latex(rf"E = \kappa,\quad \kappa = {line}").expr
        assert read in (kappa, EffectiveRidge(T, FeatureRidge(m, T, lam)))  # rows and features enter alike


def test_of_three_roots_the_largest_is_read():
    line = r"\kappa = \frac{1.2}{\left(30 - \mathrm{df}_1(\kappa)\right)\left(40 - \mathrm{df}_1(\kappa)\right)}"
    got = ct.read_latex(rf"E = \kappa,\quad {line}").evaluate(spectrum=ct.PowerLaw(100, beta=1))
    assert got == pytest.approx(0.0729, abs=1e-4)
    chain = ct.catalog["weak-to-strong"].error
    at = {"spectrum": ct.PowerLaw(40, 1.2), "target": ct.RandomTarget(), "T": 30, "m": 20, "lam": 0.1, "sigma": 0.3}
    at |= {"T0": 25, "m0": 12, "lam0": 0.2, "sigma0": 0.5}
    assert ct.read_latex(chain.latex()).evaluate(**at) == pytest.approx(chain.evaluate(**at), rel=1e-12)


def test_an_equation_that_is_no_effective_ridge_is_solved_as_it_stands():
    """Two weights in one fit: 1/tau = sum of a T/(N lam + a tau df1(tau))."""
    side = (
        r"\frac{1}{\frac{90}{12+\frac{3}{2}\tau\,\mathrm{df}_1(\tau)}+\frac{35}{12+\frac12\tau\,\mathrm{df}_1(\tau)}}"
    )
    read = ct.read_latex(rf"E = \tau,\quad \tau = {side}")
    s = ct.PowerLaw(40, 1.2)
    tau = read.evaluate(spectrum=s)
    df1 = ct.degrees_of_freedom(s, tau)
    assert 1 / tau == pytest.approx(90 / (12 + 1.5 * tau * df1) + 35 / (12 + 0.5 * tau * df1), rel=1e-13)
    assert float(read.evaluate(spectrum=s, digits=25)) == pytest.approx(tau, rel=1e-14)
    assert read.regime == "proportional"
    # an effective ridge in disguise has the value of one
    hidden = ct.read_latex(
        r"E = \tau,\quad \tau = \lambda + \tau\operatorname{tr}\left[\Sigma(\Sigma+\tau I)^{-1}\right]\frac{\tau}{\tau T}"
    )
    assert hidden.evaluate(spectrum=s, T=60, lam=0.1) == pytest.approx(ct.effective_ridge(s, T=60, lam=0.1), rel=1e-12)


def test_an_equation_with_two_solutions_is_refused():
    t = r"\operatorname{tr}\left[\Sigma(\Sigma+\tau I)^{-1}\right]"  # 2 at tau = 0: tau^2 = 3 tau - 2 there, and no one root
    read = ct.read_latex(rf"E = \tau,\quad \tau = \frac{{\tau^2+2}}{{3}} + \frac{{{t}}}{{10^9}}")
    with pytest.raises(ct.ConvergenceError):
        read.evaluate(spectrum=ct.Isotropic(2))


def test_finite_sums_have_values():
    read = ct.read_latex(r"E = \sum_{i=1}^{n} \frac{1}{i(iT-d-1)}")
    counts = [1, 2, 5]
    want = [sum(1 / (i * (i * 20 - 9)) for i in range(1, k + 1)) for k in counts]
    assert read.evaluate(n=counts, T=20, d=8) == pytest.approx(want, rel=1e-14)
    assert float(read.evaluate(n=5, T=20, d=8, digits=30)) == pytest.approx(want[-1], rel=1e-15)
    with pytest.raises(ct.DomainError, match="without traces"):
        ct.read_latex(r"E = \sum_{i=1}^{n} \mathrm{df}_1(\kappa i)").evaluate(spectrum=ct.Isotropic(3), n=2, kappa=1)


def test_lines_define_names_and_terms():
    read = ct.read_latex(r"""\begin{align*}
        E &= V + V_{\mathrm{syn}} \\
        V &= \frac{d \sigma^2}{T-d-1} && \text{(variance)} \\
        V_{\mathrm{syn}} &= a \sigma_0^2,\quad a = \frac{n d}{T_0-d-1} \\
        &\text{for } T \ge d+2,\ T_0 \geq d + 2
        \end{align*}""")
    assert dict(read.parts) == {
        "variance": d * sigma**2 / (T - d - 1),
        "synthetic_variance": n * d * sigma0**2 / (T0 - d - 1),
    }
    assert set(read.conditions) == set(ct.catalog["ols-replace"].error.conditions)
    with pytest.raises(ct.DomainError, match="needs T >= d"):
        read.evaluate(d=10, T=11, T0=20, n=1, sigma=1, sigma0=1)


@pytest.mark.heavy
def test_a_long_page_keeps_its_names_and_has_a_derivative():
    err = ct.test_error(ct.workflows.accumulate(3, ct.Stage(T=T, noise=0.5, ridge=0.1)))
    text, read = assert_read_back(err, MEASURE, {"T": 30.0})
    assert read.expr.atoms(NamedLines)
    assert "E" in text
    assert read.diff("T").evaluate(**MEASURE, T=30.0) == pytest.approx(
        err.diff("T").evaluate(**MEASURE, T=30.0), rel=1e-8
    )
    assert (
        abs(read.evaluate(digits=25, **MEASURE, T=30) / err.evaluate(digits=25, **MEASURE, T=30) - 1) < 1e-15
    )  # 0.1 is printed 1/10


def test_a_chain_of_lines_is_read_in_any_order():
    lines = [rf"a_{{{k}}} = a_{{{k + 1}}} + 1" for k in range(300)] + [r"a_{300} = T"]
    assert ct.read_latex(r"E = a_0 \\ " + r" \\ ".join(lines)).evaluate(T=2) == 302
    assert ct.read_latex(r"E = a_0 \\ " + r" \\ ".join(reversed(lines))).evaluate(T=2) == 302


def test_named_lines_are_bound():
    x, own = line_name("x"), symbols.declared("x")
    f = NamedLines(((x, 1 / T),), x * own)
    assert f.free_symbols == {T, own}
    assert f.subs(own, 2).doit() == 2 / T
    assert f.xreplace({T: N}).doit() == own / N
    assert NamedLines((), T) == T


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        (r"T + \lamda", r"unknown command '\\\\lamda'; did you mean '\\\\lambda'", 5),
        (r"\frac{T}{", "ends too early", 10),
        (r"\frac{T}{0}", "division by zero", 1),
        (r"T + T_7", "unknown name 'T_7'", 5),
        (r"T^10", r"write \{10\}", 3),
        (r"T + I", "identity matrix", 5),
        (r"\Sigma + 1", "is a matrix", 1),
        (r"\operatorname{det}(T)", "unknown function 'det'", 1),
        (r"\sin 2T", "where the argument of sin ends", 1),
        (r"2 3", "two numbers side by side", 3),
        (r"T # 2", "unexpected character '#'", 3),
        (r"(T", "ends too early", 3),
        (r"T)", r"unexpected '\)'", 2),
        (r"w_0 T", "quadratic forms only", 1),
        (r"w_0^\top\Sigma", "needs to end with w_0", 15),
        (r"E = B", "unknown name 'B'", 5),
        (r"E = B,\quad B = C,\quad C = B", "defined by itself", 13),
        (r"E = T,\quad B = T", "defined and not used", 13),
        (r"E = \kappa,\quad \kappa = \lambda + \kappa^2", "no equation of an effective ridge", 18),
        (r"E = \mathrm{bias}_{n}(T)", "derived for each n", 5),
        (r"\sum_{i \le n} i", "needs bounds such as", 1),
        (r"\log(0)", "not real", 1),
        (r"10^{9999}", "power is too large", 1),
        ("(" * 80 + "T" + ")" * 80, "nested more than", 61),
        (r"\sqrt" * 5000 + "T", "nested more than", 601),
    ],
)
def test_errors_point_at_the_place(text, message, column):
    with pytest.raises(ct.ParseError, match=message) as caught:
        ct.read_latex(text)
    assert f"column {column}:" in str(caught.value)


@pytest.mark.parametrize("text", ["", "   ", 7, None, "T" * 300_000])
def test_what_is_no_formula(text):
    with pytest.raises(ct.ParseError, match="read_latex needs"):
        ct.read_latex(text)


def test_nothing_is_evaluated_as_python(tmp_path):
    bad = tmp_path / "bad"
    for text in (f"__import__('os').mkdir('{bad}')", r"\text{T}", "lambda: 0", "T.__class__"):
        with pytest.raises(ct.ParseError):
            ct.read_latex(text)
    assert not bad.exists()


@pytest.mark.parametrize(
    "slug",
    ["ridge-accumulate", *(pytest.param(s, marks=pytest.mark.heavy) for s in ("ridge-same-design", "ridge-label-mix"))],
)
def test_derivatives_of_pooled_rounds_are_read_back(slug):
    values = {k: v for k, v in POINTS[slug].values.items() if k != "n"}
    text, _ = assert_read_back(ct.catalog[slug].at(2).diff("lam"), MEASURE, values, rel=1e-8)
    assert r"\dot{x}\text{: the derivative of } x \text{ by } \lambda" in text
    wrong = text.replace(r"\dot{A}_{2} &= -", r"\dot{A}_{2} &= 2 \cdot ").replace(
        r"\dot{A}_{2} = -", r"\dot{A}_{2} = 2 \cdot "
    )
    if wrong != text:  # control: another page gives another number
        assert value(ct.read_latex(wrong), MEASURE, values) != pytest.approx(
            value(ct.read_latex(text), MEASURE, values)
        )


@pytest.mark.parametrize(
    "seed", [31, *(pytest.param(s, marks=pytest.mark.heavy) for s in (2, 3, 6, 7, 10, 15, 18, 23, 35))]
)
def test_derivatives_of_pipelines_are_read_back(seed):
    pipe, measure, values = pipeline(seed)
    assert_read_back(ct.test_error(pipe).diff("lam"), measure, values, rel=1e-8)


@pytest.mark.parametrize("name", ["T", "T0", "sigma", "lam"])
@pytest.mark.heavy
def test_derivatives_of_shared_real_rows_are_read_back(name):
    values = {k: v for k, v in POINTS["ridge-keep-real"].values.items() if k != "n"}
    assert_read_back(ct.catalog["ridge-keep-real"].at(1).diff(name), MEASURE, values, rel=1e-8)


def test_a_dot_is_part_of_a_name():
    err = ct.read_latex("E &= \\dot{t}_{21} + t_{21} \\\\ \\dot{t}_{21} &= 2 \\\\ t_{21} &= 3")
    assert err.evaluate() == 5
