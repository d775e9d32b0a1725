"""Regular models to leading order, against maximum likelihood on simulated rows."""

import pytest

import collapse_theory as ct
from collapse_theory.families.models import Exponential, LogisticRegression, PoissonRegression

W, Stage = ct.workflows, ct.Stage


def many_rounds(T):
    return W.accumulate(4, Stage(T=T))


def mixed_rounds(T):
    return W.fresh_real(3, Stage(T=T), Stage(T=T), weight=0.618)


LOGISTIC, POISSON, EXPONENTIAL = LogisticRegression([1.0, -0.5]), PoissonRegression([0.4, 0.2]), Exponential(2.0)


@pytest.mark.parametrize(("model", "build"), [
    (LOGISTIC, many_rounds),
    (POISSON, mixed_rounds),
    (EXPONENTIAL, many_rounds),
    (EXPONENTIAL, mixed_rounds),
    pytest.param(LOGISTIC, mixed_rounds, marks=pytest.mark.heavy),
    pytest.param(POISSON, many_rounds, marks=pytest.mark.heavy),
])  # fmt: skip
def test_regular_models_by_simulation(model, build):
    pipe = build(400)
    fam = ct.Regular(model)
    theory = ct.test_error(pipe, family=fam)
    assert theory.regime == "leading order"
    sim = ct.simulate(pipe, family=fam, trials=500, seed=11)
    value = theory.evaluate()
    assert abs(sim.mean - value) < 4 * sim.sem + 0.03 * value  # 3 % for the next order at 400 rows
    assert abs(sim.mean - 1.5 * value) > 4 * sim.sem + 0.045 * value  # control
