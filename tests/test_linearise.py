"""Linearisation as exact algebra: the pencil's Schur complement is the expression, for random matrices of every shape."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Identity, Integer, MatrixSymbol, Rational, Symbol, Trace, exp, sin

import collapse_theory as ct
from collapse_theory.engine.fixed_point import Atom
from collapse_theory.engine.linearise import linearise
from collapse_theory.engine.pencil import Block, Pencil
from collapse_theory.engine.pencil import _parts as parts
from collapse_theory.engine.triangular import structure_of
from collapse_theory.symbols import T, d, lam

Z, Sigma = ct.GaussianMatrix("Z", T, d), ct.Covariance("Sigma", d)
X = Z * ct.sqrt(Sigma)
R = (X.T * X / T + lam * Identity(d)).inv()
SIZES = {T: 4, d: 3}


def dense(e, values):
    """The value of a matrix expression, by NumPy alone."""
    from sympy import MatAdd, MatMul, MatPow, Transpose
    from sympy.matrices.expressions.inverse import Inverse

    if isinstance(e, Identity):
        return np.eye(int(e.rows.xreplace(SIZES)))
    if isinstance(e, MatrixSymbol):
        return values[e.name]
    if isinstance(e, Transpose):
        return dense(e.arg, values).T
    if isinstance(e, Inverse):
        return np.linalg.inv(dense(e.arg, values))
    if isinstance(e, MatAdd):
        return sum(dense(a, values) for a in e.args)
    if isinstance(e, MatMul):
        out = 1.0
        for a in e.args:
            factor = dense(a, values) if hasattr(a, "shape") else float(a.xreplace({**SIZES, lam: values["lam"]}))
            out = out * factor if np.ndim(out) == 0 or np.ndim(factor) == 0 else out @ factor
        return out
    if isinstance(e, MatPow) and e.exp.is_Integer:
        return np.linalg.matrix_power(dense(e.base, values), int(e.exp))
    return np.diag(np.diag(dense(e.base, values)) ** float(e.exp))  # covariances are diagonal here


def solve_pencil(pencil: Pencil, values):
    """``G[output, input]`` by assembling and inverting the dense block matrix."""
    sizes = [int(p.xreplace(SIZES)) if hasattr(p, "xreplace") else int(p) for p in pencil.dimensions]
    edges = np.concatenate([[0], np.cumsum(sizes)])
    numbers = {**SIZES, lam: values["lam"]}

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
    values = {"Z": rng.standard_normal((4, 3)), "Sigma": np.diag(rng.uniform(0.5, 2, 3)), "lam": 0.7}
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
    values = {"G": rng.standard_normal((3, 3)), "Sigma": np.diag([0.5, 1.0, 2.0]), "lam": 0.7}
    np.testing.assert_allclose(solve_pencil(linearise(e), values), dense(e, values), rtol=1e-9)


def test_linearisation_with_several_matrices_and_shapes():
    W, Theta = ct.GaussianMatrix("W", d, 5), ct.GaussianMatrix("Theta", T, 5)
    F = Z * W / 3 + Theta
    e = Z.T * (F * F.T / 5 + lam * Identity(T)).inv() * Z * Sigma
    rng = np.random.default_rng(1)
    values = {"Z": rng.standard_normal((4, 3)), "W": rng.standard_normal((3, 5)), "Theta": rng.standard_normal((4, 5)),
              "Sigma": np.diag([0.5, 1.0, 2.0]), "lam": 0.7}  # fmt: skip
    np.testing.assert_allclose(solve_pencil(linearise(e), values), dense(e, values), rtol=1e-10)


def test_a_wrong_sign_is_noticed():
    """Mutant control: the comparison above rejects a pencil with one sign changed."""
    pencil = linearise(R)
    rng = np.random.default_rng(0)
    values = {"Z": rng.standard_normal((4, 3)), "Sigma": np.eye(3), "lam": 0.7}
    blocks = dict(pencil.blocks)
    key = next(k for k, b in blocks.items() if b.random)
    blocks[key] = type(blocks[key])(blocks[key].fixed, {a: -c for a, c in blocks[key].random.items()})
    wrong = Pencil(pencil.dimensions, blocks, pencil.inputs, pencil.outputs, pencil.families)
    assert not np.allclose(solve_pencil(wrong, values), dense(R, values), rtol=1e-3)


def test_the_pencil_grows_with_the_graph_of_shared_parts():
    sizes = []
    for n in (2, 4, 8):
        e = Identity(d)
        for _ in range(n):
            e = R * (e + Sigma * e)
        sizes.append(linearise(e).size)
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])  # linear; the expanded tree has 2**n terms


def test_atoms_are_the_resolvents():
    structure = structure_of(linearise(R * Sigma * R * Sigma * R))
    assert [len(a) for a in structure.atoms] == [2, 2, 2]
    assert not np.tril(
        structure.nonzero[np.ix_([a[0] for a in structure.atoms], [a[0] for a in structure.atoms])], -1
    ).any()


def test_transposed_atoms_have_the_law_of_the_transpose():
    M = (ct.GaussianMatrix("G", d, d) + lam * Identity(d)).inv()
    structure = structure_of(linearise(M * M.T))
    first, last = (Atom.of(structure, a) for a in range(2))
    assert first.randomness() != last.randomness()
    for atom, other in ((first, last), (last, first)):
        assert atom.signature(transposed=True)[0] == other.signature()[0]
        assert atom.randomness(transposed=True) == other.randomness()


def test_expressions_survive_sympy():
    e = R * Sigma * R
    assert e.doit() == e
    assert pickle.loads(pickle.dumps(e)) == e
    assert e.func(*e.args) == e
    assert R.T == R
    S1, _ = ct.commuting(ct.Covariance("Sigma1", d), ct.Covariance("Sigma2", d))
    assert pickle.loads(pickle.dumps(S1)).family == ("Sigma1", "Sigma2")
    assert ct.Covariance("Sigma1", d) != S1


BAD = {
    "rectangular result": (lambda: Z, ct.DomainError, "square matrix"),
    "unknown matrix": (lambda: R * MatrixSymbol("unknown", d, d), ct.DomainError, "unknown"),
    "two roles": (lambda: R * ct.GaussianMatrix("Sigma", d, d), ct.DomainError, "'Sigma'"),
    "transcendental": (lambda: exp(R), ct.DomainError, "exp"),
    "elementwise": (lambda: R.applyfunc(sin), ct.DomainError, "integer powers"),
    "root of a random matrix": (lambda: R ** Rational(1, 2), ct.DomainError, "roots"),
    "matrix power": (lambda: R**Sigma, ct.DomainError, "Sigma"),
    "inverse of a rectangle": (Z.inv, ct.DomainError, "T x d"),
    "square of a rectangle": (lambda: (Z * Z) * Z.T, ct.DomainError, "power 2"),
    "product that does not fit": (lambda: X.T * X * X, ct.DomainError, "columns"),
    "sum that does not fit": (lambda: R + Z, ct.DomainError, "one shape"),
    "matrix inside a scalar": (lambda: Trace(R) * R, ct.DomainError, "Trace"),
    "singular": (lambda: Sigma * (X.T * X).inv(), ct.DomainError, "(Sigma**(1/2)*Z.T*Z*Sigma**(1/2))**(-1)"),
    "not a matrix": (lambda: Integer(3), ct.DomainError, "matrix expression"),
    "two covariances": (lambda: R * ct.Covariance("Omega", d), ct.NonCommutingError, "Omega"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_expressions_are_named(case):
    build, kind, words = BAD[case]
    with pytest.raises(kind, match="deterministic_equivalent needs") as error:
        ct.deterministic_equivalent(build())
    assert words in str(error.value)


@pytest.mark.parametrize(
    "build",
    [
        lambda: ct.GaussianMatrix("not a name", T, d),
        lambda: ct.GaussianMatrix("Z", 0, d),
        lambda: ct.GaussianMatrix("Z", 2.5, d),
        lambda: ct.Covariance("Sigma", d, T),
        lambda: ct.sqrt(Symbol("x")),
        lambda: ct.commuting(Sigma, Sigma),
        lambda: ct.commuting(Sigma, Z),
        lambda: ct.commuting(Sigma, ct.Covariance("Other", T)),
    ],
)
def test_bad_letters(build):
    with pytest.raises(ct.CollapseTheoryError):
        build()


def test_a_pencil_without_an_inverse_is_one_part():
    """Two equations in one variable: no matching, hence no parts; what is singular is told where the structure is analysed."""
    one = Block(Integer(1))
    assert parts({0: {0: one}, 1: {0: one}}) == ({0: 0, 1: 0}, {0: 0, 1: 0})
    rows, columns = parts({0: {0: one}, 1: {1: one}})
    assert rows == columns
    assert rows[0] != rows[1]
