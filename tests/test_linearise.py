"""Linearisation as exact algebra: the pencil's Schur complement is the expression, for random matrices of every shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Identity, Symbol

import collapse_theory as ct
from collapse_theory.engine.linearise import linearise
from collapse_theory.engine.pencil import Pencil
from collapse_theory.symbols import T, d, lam
from tests.matrices import R, Sigma, X, Z, dense

SIZES = {T: 4, d: 3}


def solve_pencil(pencil: Pencil, values):
    """``G[output, input]`` by assembling and inverting the dense block matrix."""
    sizes = [int(p.xreplace(SIZES)) if hasattr(p, "xreplace") else int(p) for p in pencil.dimensions]
    edges = np.concatenate([[0], np.cumsum(sizes)])
    numbers = {x: v for x, v in values.items() if isinstance(x, Symbol)}

    def function(f, size):
        eigenvalues = {x: values[x.name] for x in f.free_symbols if x.name in values and np.ndim(values[x.name]) == 2}
        if not eigenvalues:
            return float(f.xreplace(numbers)) * np.eye(size)
        diagonals = [
            float(f.xreplace({**numbers, **{x: v[j, j] for x, v in eigenvalues.items()}})) for j in range(size)
        ]
        return np.diag(diagonals)

    q = np.zeros((edges[-1], edges[-1]))
    for (i, j), block in pencil.blocks.items():
        total = np.zeros((sizes[i], sizes[j]))
        if block.fixed != 0:
            total += function(block.fixed, sizes[i])
        for a, c in block.random.items():
            z = values[a.matrix.name]
            total += (
                float(c.xreplace(numbers))
                * function(a.left, sizes[i])
                @ (z.T if a.transposed else z)
                @ function(a.right, sizes[j])
            )
        q[edges[i] : edges[i + 1], edges[j] : edges[j + 1]] = total
    inverse = np.linalg.inv(q)
    out, into = pencil.outputs["x"], pencil.inputs["x"]
    return inverse[edges[out] : edges[out + 1], edges[into] : edges[into + 1]]


G = ct.GaussianMatrix("G", d, d)
LETTERS = [Identity(d), Sigma, X.T * X / T, R, Sigma * R, (Sigma + lam * Identity(d)).inv(), G, (G + G.T) / 2]
square = st.recursive(
    st.sampled_from(LETTERS),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
        st.tuples(inner, inner, st.integers(-3, 3).filter(bool)).map(lambda p: p[0] + p[2] * p[1]),
        inner.map(lambda e: e.T),
        inner.map(lambda e: e**2),
        inner.map(lambda e: (e.T * e + Identity(d)).inv()),
    ),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(square, st.integers(0, 2**32 - 1))
def test_linearisation_is_the_expression(e, seed):
    if not hasattr(e, "shape") or e.is_ZeroMatrix:
        return
    rng = np.random.default_rng(seed)
    values = {"Z": rng.standard_normal((4, 3)), "Sigma": np.diag(rng.uniform(0.5, 2, 3)), lam: 0.7, **SIZES}
    values["G"] = rng.standard_normal((3, 3))
    want = dense(e, values)
    got = solve_pencil(linearise(e), values)
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8 * np.abs(want).max())


AFFINE = [a * Identity(d) + b * part for a in (1, -1, 2) for b in (1, -1) for part in (G, (G + G.T) / 2, Sigma * G)]


@pytest.mark.parametrize("place", ["right", "left", "middle", "alone", "inside an inverse"])
@pytest.mark.parametrize("factor", AFFINE, ids=str)
def test_a_factor_keeps_its_random_part_wherever_it_stands(factor, place):
    """A sign times the identity plus something random is not a sign times the identity."""
    middle = (3 * Identity(d) + G / 5).inv()
    e = {
        "right": middle * factor,
        "left": factor * middle,
        "middle": middle * factor * middle,
        "alone": factor,
        "inside an inverse": (factor * middle + 7 * Identity(d)).inv() * factor,
    }[place]
    rng = np.random.default_rng(7)
    values = {"G": rng.standard_normal((3, 3)), "Sigma": np.diag([0.5, 1.0, 2.0]), lam: 0.7, **SIZES}
    np.testing.assert_allclose(solve_pencil(linearise(e), values), dense(e, values), rtol=1e-9)


def test_linearisation_with_several_matrices_and_shapes():
    W, Theta = ct.GaussianMatrix("W", d, 5), ct.GaussianMatrix("Theta", T, 5)
    F = Z * W / 3 + Theta
    e = Z.T * (F * F.T / 5 + lam * Identity(T)).inv() * Z * Sigma
    rng = np.random.default_rng(1)
    values = {"Z": rng.standard_normal((4, 3)), "W": rng.standard_normal((3, 5)), "Theta": rng.standard_normal((4, 5)),
              "Sigma": np.diag([0.5, 1.0, 2.0]), lam: 0.7, **SIZES}  # fmt: skip
    np.testing.assert_allclose(solve_pencil(linearise(e), values), dense(e, values), rtol=1e-10)


def test_a_wrong_sign_is_noticed():
    """Mutant control: the comparison above rejects a pencil with one sign changed."""
    pencil = linearise(R)
    rng = np.random.default_rng(0)
    values = {"Z": rng.standard_normal((4, 3)), "Sigma": np.eye(3), lam: 0.7, **SIZES}
    blocks = dict(pencil.blocks)
    key = next(k for k, b in blocks.items() if b.random)
    blocks[key] = type(blocks[key])(blocks[key].fixed, {a: -c for a, c in blocks[key].random.items()})
    wrong = Pencil(pencil.dimensions, blocks, pencil.inputs, pencil.outputs, pencil.covariances)
    assert not np.allclose(solve_pencil(wrong, values), dense(R, values), rtol=1e-3)


def test_the_pencil_grows_with_the_graph_of_shared_parts():
    sizes = []
    for n in (2, 4, 8):
        e = Identity(d)
        for _ in range(n):
            e = R * (e + Sigma * e)
        sizes.append(linearise(e).size)
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])  # linear; the expanded tree has 2**n terms
