"""Nothing moves by itself: values, digits, slopes and LaTeX are those of the golden file."""

import json
import math
from decimal import Decimal

import pytest

from tests import golden

KEPT = json.loads(golden.PATH.read_text())
EVERY = 25


def same(now, then, *, tolerance=1e-13):
    if isinstance(then, dict):
        return now.keys() == then.keys() and all(same(now[k], then[k], tolerance=tolerance) for k in then)
    if isinstance(then, float):
        return math.isclose(now, then, rel_tol=tolerance, abs_tol=1e-300)
    return now == then


def check(name):
    now, then = golden.made(name), KEPT[name]
    scale = abs(then["value"])
    for key in then:
        if key == "slope":  # may nearly vanish beside the error it is the slope of
            assert abs(now[key] - then[key]) <= 1e-12 * max(abs(then[key]), scale), (name, key)
        elif key == "digits":
            assert now[key] == then[key] or abs(Decimal(now[key]) / Decimal(then[key]) - 1) < Decimal("1e-28"), (
                name,
                key,
            )
        else:
            assert same(now[key], then[key]), (name, key, now[key], then[key])


def test_the_file_is_complete():
    assert list(KEPT) == golden.names()


@pytest.mark.parametrize("name", golden.names()[::EVERY])
def test_a_sample_is_as_it_was(name):
    check(name)


@pytest.mark.heavy
@pytest.mark.parametrize("name", golden.names())
def test_all_are_as_they_were(name):
    check(name)


def test_a_changed_number_is_seen():
    then = KEPT["ridge-replace"]
    assert not same(then | {"value": then["value"] * (1 + 1e-12)}, then)
