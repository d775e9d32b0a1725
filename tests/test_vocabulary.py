"""Tokens of nearly one probability in groups: what is kept, and what the groups reproduce."""

import numpy as np
import pytest

from collapse_theory.families.vocabulary import group


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
