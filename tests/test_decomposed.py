"""What a fit makes of real labels, and what synthetic labels add to its bias and variance."""

import pytest

import collapse_theory as ct
from tests.points import POINTS

TERMS = {"bias", "variance", "synthetic_bias", "synthetic_variance"}
LINEAR = [s for s, th in ct.catalog.items() if th.error.family is None]
SPECTRUM, TARGET = ct.PowerLaw(40, beta=1.2), ct.RandomTarget()
WHOLE = [
    "ridge-chain",
    "ridge-accumulate",
    "ridge-accumulate-constant",
    "ridge-keep-real",
    "ridge-same-design",
    "ridge-label-mix",
]


@pytest.mark.parametrize("slug", LINEAR)
def test_every_theorem_names_its_decomposition(slug):
    theorem = ct.catalog[slug]
    needs = (slug in WHOLE and slug != "ridge-chain") or slug == "self-distillation-repeated"
    try:
        assert set(theorem.decomposed(2 if needs else None).parts) <= TERMS
    except (
        ct.DomainError,
        ct.PipelineError,
    ):  # infinitely many rounds, a symbolic number of teachers, or no test error
        assert (
            not theorem.simulates
            or slug in {"ensemble-teachers", "gcv-synthetic"}
            or slug.startswith("random-features")
        )


@pytest.mark.parametrize("slug", WHOLE)
def test_the_terms_add_up_and_nothing_is_added_to_real_labels(slug):
    theorem = ct.catalog[slug]
    values = {k: v for k, v in POINTS[slug].values.items() if k != "n"} | {"T": 60}
    rounds, clean = 2, 1 if "accumulate" in slug else 0
    parts = theorem.decomposed(rounds).evaluate(spectrum=SPECTRUM, target=TARGET, terms=True, **values)
    want = theorem.at(rounds).evaluate(spectrum=SPECTRUM, target=TARGET, **values)
    assert sum(parts.values()) == pytest.approx(want, rel=1e-12)
    assert set(parts) == TERMS
    assert parts["synthetic_variance"] > 0
    few = theorem.decomposed(clean)
    values = {x.name: values[x.name] for x in few.free_symbols if x.name in values}
    bare = few.evaluate(spectrum=SPECTRUM, target=TARGET, terms=True, **values)
    assert bare["synthetic_bias"] == pytest.approx(0, abs=1e-13 * want)
    assert bare["synthetic_variance"] == pytest.approx(0, abs=1e-13 * want)


def test_a_number_of_rounds_is_asked_for():
    with pytest.raises(ct.DomainError, match="decomposed"):
        ct.catalog["ridge-accumulate"].decomposed()
    with pytest.raises(ct.DomainError, match="clean counterpart"):
        ct.catalog["token-replace"].decomposed()
