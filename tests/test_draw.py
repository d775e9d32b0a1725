"""Pictures: every pipeline can be drawn, says who gives what to whom, crosses little, and leaves pyplot alone."""

import itertools
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory import symbols
from collapse_theory.describe.nodes import OneOf
from collapse_theory.present.draw import _math, _name, _quantity, draw_pipeline
from collapse_theory.present.routes import Arrangement, Arrow, Spot, arranged, crossings, generations

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


def ensemble():
    pipe = ct.Pipeline()
    teachers = [pipe.fit(pipe.sample(T=100, noise=0.5), ridge=0.1) for _ in range(4)]
    pipe.fit(pipe.sample(T=400, source=sum((sp.Rational(1, 4) * m for m in teachers[1:]), teachers[0] / 4)), ridge=0.1)
    return pipe


PIPELINES = {
    "replace": ct.workflows.replace(5, SYMBOLIC, STAGE),
    "accumulate": ct.workflows.accumulate(6, STAGE),
    "keep_real": ct.workflows.keep_real(4, STAGE, SYMBOLIC),
    "fresh_real": ct.workflows.fresh_real(3, STAGE, STAGE, weight=0.5),
    "label_mix": ct.workflows.label_mix(3, STAGE, 0.6),
    "chain": ct.workflows.replace(11, STAGE, STAGE),
    "last_k": ct.workflows.last_k(6, STAGE, 2),
    "random_past": ct.workflows.random_past(5, ct.Stage(T=50)),
    "subsample": ct.workflows.accumulate_subsample(4, ct.Stage(T=50)),
    "ensemble": ensemble(),
    "mixed": mixed(),
    "empty": ct.Pipeline(),
}


def given_to(pipe):
    """Who gives what to whom, with which coefficient, by the description itself."""
    out = set()
    for fit in pipe.fits:
        out |= {(s, fit, "fits on", w) for s, w in zip(fit.samples, fit.weights, strict=True)}
    for s in pipe.samples:
        out |= {(other, s, "drawn from", 1) for other in s.pool}
        if isinstance(s.source, OneOf):
            share = sp.Rational(1, len(s.source.labellers))
            out |= {(m, s, "labels", share) for m in s.labellers}
        elif not s.pool:
            out |= {(m, s, "labels", c) for m, c in s.source}
    return out


def read(layout):
    """The same, read off the picture as a person does: what joins a rail above a branch is in what the branch leads to."""
    out = {(x, s, "labels", share) for s, (_, shares) in layout.truths.items() for x, share in shares.items()}
    out |= {(e.source, e.target, a.kind, a.coefficient) for e, a in layout.arrows.items()}

    def node_at(x, y):
        return min(layout.places, key=lambda node: outside(layout.places[node], x, y))

    for rail in layout.rails:
        for leaf in rail.leaves:
            above = (p for p in rail.joins if p[-1][1] > leaf.points[0][1])
            out |= {(node_at(*p[0]), node_at(*leaf.points[-1]), leaf.kind, leaf.coefficient) for p in above}
    return out


def outside(spot, x, y):
    return abs(max(abs(x - spot.x) - spot.half[0], abs(y - spot.y) - spot.half[1]))


@st.composite
def pipelines(draw):
    pipe = ct.Pipeline()
    for _ in range(draw(st.integers(1, 5))):
        for _ in range(draw(st.integers(1, 2))):
            kind = draw(st.sampled_from(["fresh", "truth", "mixed", "design", "pool"]))
            models = draw(st.permutations(pipe.fits))[:2]
            source = {"truth": ct.TRUTH, "mixed": sum((m / 2 for m in models), 0.5 * ct.TRUTH)}.get(kind)
            source = source or (models[0] if models else ct.TRUTH)
            if kind == "design" and pipe.samples:
                pipe.sample(design=draw(st.sampled_from([s for s in pipe.samples if not s.pool])), source=source)
            elif kind == "pool" and pipe.samples:
                pipe.subsample(draw(st.sampled_from([pipe.samples[:1], pipe.samples])), T=3)
            else:
                pipe.sample(T=9, source=source)
        for _ in range(draw(st.integers(1, 2))):
            pool = draw(st.lists(st.sampled_from(pipe.samples), min_size=1, unique=True))
            pipe.fit(pool, weights=draw(st.sampled_from([None, [2] * len(pool)])))
    return pipe


@pytest.mark.parametrize("name", PIPELINES)
def test_the_picture_says_what_the_pipeline_is(name):
    assert read(arranged(PIPELINES[name])) == given_to(PIPELINES[name])


@settings(max_examples=12, deadline=None)
@given(pipelines())
def test_any_picture_says_what_its_pipeline_is(pipe):
    layout = arranged(pipe)
    assert read(layout) == given_to(pipe)
    for a, b in itertools.combinations(layout.places.values(), 2):
        assert abs(a.x - b.x) > a.half[0] + b.half[0] or abs(a.y - b.y) > a.half[1] + b.half[1]


@pytest.mark.parametrize("name", PIPELINES)
def test_arrows_do_not_cross(name):
    assert crossings(arranged(PIPELINES[name])) == (1 if name == "mixed" else 0)


def test_crossings_are_counted():
    def line(*points):
        return Arrow("labels", sp.S.One, points, points[0])

    a, b, c = line((0, 0), (2, 2)), line((0, 2), (2, 0)), line((3, 0), (3, 2))
    hidden = line((3, 1), (3, 3))
    assert [
        crossings(Arrangement({}, {}, dict(enumerate(lines)), [])) for lines in ((a, b), (a, c), (a, b, c), (c, hidden))
    ] == [1, 0, 1, 5]


@pytest.mark.parametrize("name", PIPELINES)
def test_generations_go_down(name):
    pipe = PIPELINES[name]
    layout, generation = arranged(pipe), generations(pipe)
    for a, b in itertools.permutations(pipe.nodes, 2):
        if generation[a] < generation[b]:
            assert layout.places[a].y > layout.places[b].y
    for sample in pipe.samples:
        assert all(layout.places[m].y > layout.places[sample].y for m in sample.labellers if isinstance(m, ct.Fit))


@pytest.mark.parametrize("name", ["mixed", "subsample", "empty"])
def test_the_svg_is_whole(name):
    pipe = PIPELINES[name]
    figure = pipe.draw()
    svg = ElementTree.fromstring(pipe._repr_svg_())
    width, height = figure.get_size_inches()
    assert [float(x) for x in svg.attrib["viewBox"].split()] == pytest.approx([0, 0, 72 * width, 72 * height])
    (axes,) = figure.axes
    layout, page = arranged(pipe), figure.bbox
    nodes = [p for p in axes.patches if type(p).__name__ in {"Circle", "FancyBboxPatch"}]
    assert len(nodes) == len(pipe.nodes) + len(layout.truths)
    assert len(axes.patches) - len(nodes) == len(layout.truths) + len(layout.arrows) + sum(
        1 + len(r.joins) + len(r.leaves) for r in layout.rails
    )
    for artist in (*axes.texts, *axes.patches, *filter(None, [axes.get_legend()])):
        box = artist.get_window_extent()
        assert box.x0 >= page.x0
        assert box.x1 <= page.x1
        assert box.y0 >= page.y0
        assert box.y1 <= page.y1


@pytest.mark.parametrize("name", ["mixed", "label_mix", "random_past"])
def test_words_overlap_no_other_words_and_fit_into_the_nodes(name):
    (axes,) = PIPELINES[name].draw().axes
    boxes = [(t, t.get_window_extent()) for t in axes.texts]
    for (s, a), (t, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b) or s.get_zorder() == t.get_zorder() == 4, (s, t)  # lines in a node are set close
    nodes = [p.get_window_extent() for p in axes.patches if type(p).__name__ in {"Circle", "FancyBboxPatch"}]
    for text, box in boxes:
        if text.get_zorder() == 4:
            assert any(b.x0 <= box.x0 and box.x1 <= b.x1 for b in nodes), text
        else:
            assert not any(box.overlaps(b) for b in nodes), text


def test_a_telephone_shows_a_picture_of_any_length():
    for name in ("last_k", "accumulate"):
        figure = PIPELINES[name].draw()
        shrunk = 375 / (96 * figure.get_size_inches()[0])  # of the 375 pixels of its width
        assert 96 / 72 * min(t.get_fontsize() for t in figure.axes[0].texts) * shrunk > 7.5


def test_axes_of_ones_own():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3))
    left, right = figure.subplots(1, 2)
    assert PIPELINES["replace"].draw(ax=right) is figure
    assert right.patches
    assert not left.patches
    with pytest.raises(ct.DomainError, match="ax needs to be"):
        PIPELINES["replace"].draw(ax="left")


def test_pictures_are_saved(tmp_path):
    figure = PIPELINES["mixed"].draw()
    for suffix in ("png", "pdf"):
        figure.savefig(tmp_path / f"p.{suffix}")


def test_symbols_are_typeset():
    assert _quantity(r"\lambda", symbols.lam) == r"$\lambda$"
    assert _quantity("T", symbols.T0) == "$T_{0}$"
    assert _quantity("T", sp.Integer(600)) == "$T = 600$"
    assert _quantity(r"\lambda", 2 * symbols.lam + 1) == r"$2 \lambda + 1$"
    assert _math(sp.Float(0.360555127546399)) == "$0.3606$"
    assert _name("m12") == "m$_{12}$"
    assert "$" not in _math(sp.Piecewise((symbols.lam, symbols.lam > 1), (1, True)))


def test_samples_on_one_design_say_so():
    words = [t.get_text() for t in draw_pipeline(PIPELINES["label_mix"]).axes[0].texts]
    assert words.count("inputs of s$_{1}$") == 3


def test_pyplot_is_not_touched():
    had = "matplotlib.pyplot" in sys.modules
    PIPELINES["replace"].draw()
    assert ("matplotlib.pyplot" in sys.modules) == had


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


def test_the_lanes_of_a_row_have_one_height():
    places = arranged(PIPELINES["accumulate"]).places
    assert len({p.y for p in places.values()}) == 6
    assert np.ptp([p.x for node, p in places.items() if isinstance(node, ct.Fit)]) == 0
    assert isinstance(next(iter(places.values())), Spot)
