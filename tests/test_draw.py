"""Pictures: every pipeline can be drawn, nodes never overlap, and pyplot is left alone."""

import itertools
import sys

import numpy as np
import pytest
import sympy as sp

import collapse_theory as ct
from collapse_theory import symbols
from collapse_theory.present.draw import _layout, _math, _name, _quantity, _rounds, draw_pipeline

STAGE = ct.Stage(T=600, noise=0.5, ridge=0.1)
SYMBOLIC = ct.Stage(T=symbols.T0, noise=symbols.sigma0, ridge=symbols.lam0)


def mixed():
    pipe = ct.Pipeline()
    real = pipe.sample(T=600, noise=0.5, name="real")
    m1 = pipe.fit(real, ridge=0.1)
    fake = pipe.sample(T=2 * symbols.T0 / 3, noise=0.5, source=m1, name="a_rather_long_name")
    same = pipe.sample(design=real, source=0.6 * ct.TRUTH + 0.4 * m1)
    pipe.fit([real, fake], weights=[1.5, 0.75], ridge=sp.Piecewise((symbols.lam, symbols.lam > 1), (1, True)))
    pipe.fit([same, fake], ridge=symbols.lam + 1)
    return pipe


PIPELINES = {
    "replace": ct.workflows.replace(5, SYMBOLIC, STAGE),
    "accumulate": ct.workflows.accumulate(4, STAGE),
    "keep_real": ct.workflows.keep_real(3, STAGE, SYMBOLIC),
    "fresh_real": ct.workflows.fresh_real(3, STAGE, STAGE, weight=0.5),
    "label_mix": ct.workflows.label_mix(3, STAGE, 0.6),
    "chain": ct.workflows.replace(11, STAGE, STAGE),
    "random_past": ct.workflows.random_past(4, ct.Stage(T=50)),
    "subsample": ct.workflows.accumulate_subsample(4, ct.Stage(T=50)),
    "mixed": mixed(),
    "empty": ct.Pipeline(),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_can_be_drawn(name, tmp_path):
    pipe = PIPELINES[name]
    figure = pipe.draw()
    figure.savefig(tmp_path / "p.png")
    figure.savefig(tmp_path / "p.pdf")
    (axes,) = figure.axes
    assert len(axes.patches) == 1 + len(pipe.nodes)
    arrows = sum(len(f.samples) for f in pipe.fits) + sum(len(s.labellers) + len(s.pool) for s in pipe.samples)
    shared = sum(s.design is not None for s in pipe.samples)
    assert sum(t.get_text() == "" for t in axes.texts) == arrows + shared


@pytest.mark.parametrize("name", PIPELINES)
def test_nodes_do_not_overlap_and_stay_inside(name):
    pipe = PIPELINES[name]
    places = list(_layout(pipe).values())
    for a, b in itertools.combinations(places, 2):
        assert abs(a.x - b.x) > a.half[0] + b.half[0] or abs(a.y - b.y) > a.half[1] + b.half[1]
    (axes,) = draw_pipeline(pipe).axes
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for p in places:
        assert left < p.x - p.half[0] < p.x + p.half[0] < right
        assert low < p.y - p.half[1] < p.y + p.half[1] < high


@pytest.mark.parametrize("name", PIPELINES)
def test_nodes_are_in_the_middle(name):
    pipe = PIPELINES[name]
    across = [p.x for p in _layout(pipe).values()]
    left, right = draw_pipeline(pipe).axes[0].get_xlim()
    assert min(across) - left == pytest.approx(right - max(across))


def test_lanes_are_equally_far_apart_with_room_for_an_arrow():
    heights = sorted({p.y for p in _layout(PIPELINES["subsample"]).values()}, reverse=True)
    assert len(heights) == 4  # the truth, samples, subsamples, fits
    steps = -np.diff(heights)
    assert np.ptp(steps) < 1e-9
    tallest = max(p.half[1] for p in _layout(PIPELINES["subsample"]).values())
    assert steps[0] > 3 * tallest


@pytest.mark.parametrize("name", PIPELINES)
def test_the_lanes_of_a_round_have_one_middle(name):
    pipe = PIPELINES[name]
    places, rounds = _layout(pipe), _rounds(pipe)
    for column in set(rounds.values()):
        nodes = [node for node in pipe.nodes if rounds[node] == column]
        lanes = {
            places[node].y: [places[other].x for other in nodes if places[other].y == places[node].y] for node in nodes
        }
        assert np.ptp([np.mean(across) for across in lanes.values()]) < 1e-9


def test_time_runs_from_left_to_right():
    for pipe in PIPELINES.values():
        places = _layout(pipe)
        for sample in pipe.samples:
            assert all(places[m].x < places[sample].x for m in sample.labellers if isinstance(m, ct.Fit))


def test_text_fits_into_the_nodes():
    figure = draw_pipeline(PIPELINES["mixed"])
    (axes,) = figure.axes
    boxes = [p.get_window_extent() for p in axes.patches]
    for text in axes.texts:
        if text.get_zorder() == 4:
            extent = text.get_window_extent()
            assert any(b.x0 <= extent.x0 and extent.x1 <= b.x1 for b in boxes)


def test_symbols_are_typeset():
    assert _quantity(r"\lambda", symbols.lam) == r"$\lambda$"
    assert _quantity("T", symbols.T0) == "$T_{0}$"
    assert _quantity("T", sp.Integer(600)) == "$T = 600$"
    assert _quantity(r"\lambda", 2 * symbols.lam + 1) == r"$2 \lambda + 1$"
    assert _math(sp.Float(0.360555127546399)) == "$0.3606$"
    assert _name("m12") == "m$_{12}$"
    assert "$" not in _math(sp.Piecewise((symbols.lam, symbols.lam > 1), (1, True)))


def test_pyplot_is_not_touched():
    had = "matplotlib.pyplot" in sys.modules
    PIPELINES["replace"].draw()
    assert ("matplotlib.pyplot" in sys.modules) == had


@pytest.mark.parametrize(("between", "straight"), [(0, True), (1, False), (2, False)])
def test_a_link_of_shared_inputs_bends_around_what_lies_between(between, straight):
    pipe = ct.Pipeline()
    first = pipe.sample(T=9)
    others = [pipe.sample(T=9) for _ in range(between)]
    again = pipe.sample(design=first)
    pipe.fit([first, *others, again])
    figure = pipe.draw()
    figure.draw_without_rendering()
    (axes,) = figure.axes
    (text,) = (t for t in axes.texts if t.get_text() == "" and t.arrow_patch.get_linestyle() == ":")
    places, link = _layout(pipe), text.arrow_patch
    above = [text.xyann[1] - places[first].y, text.xy[1] - places[again].y]
    assert above == ([0, 0] if straight else pytest.approx([0.8 * places[first].half[1]] * 2))
    width, height = np.ptp(link.get_path().vertices, axis=0)
    assert (height < 0.02 * width) == straight
    assert straight or height > 0.05 * width


def test_nodes_of_a_picture_are_coloured_by_kind():
    from matplotlib.colors import to_hex

    pipe = ct.Pipeline()
    pool = pipe.sample(T=9)
    pipe.fit(pipe.subsample(pool, T=5))
    patches = [p for p in pipe.draw().axes[0].patches if type(p).__name__ in {"Circle", "FancyBboxPatch"}]
    colours = {type(p).__name__: set() for p in patches}
    for p in patches:
        colours[type(p).__name__].add(to_hex(p.get_facecolor()))
    assert len(colours["Circle"]) == 1
    assert len(colours["FancyBboxPatch"]) == 3  # the truth, a sample, a subsample
    assert not colours["Circle"] & colours["FancyBboxPatch"]
    assert colours["Circle"] != {to_hex("C0")}
