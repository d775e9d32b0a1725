"""The parts of a pencil are its atoms, the resolvents."""

from sympy import Identity, Integer

import collapse_theory as ct
from collapse_theory.engine.fixed_point import Atom
from collapse_theory.engine.linearise import linearise
from collapse_theory.engine.pencil import Block
from collapse_theory.engine.pencil import _parts as parts
from collapse_theory.engine.triangular import structure_of
from collapse_theory.symbols import d, lam
from tests.matrices import R, Sigma


def test_atoms_are_the_resolvents():
    structure = structure_of(linearise(R * Sigma * R * Sigma * R))
    assert [len(a) for a in structure.atoms] == [2, 2, 2]
    assert all(structure.atom_of[i] <= structure.atom_of[j] for i, j in structure.pencil.blocks)


def test_transposed_atoms_have_the_law_of_the_transpose():
    M = (ct.GaussianMatrix("G", d, d) + lam * Identity(d)).inv()
    structure = structure_of(linearise(M * M.T))
    first, last = (Atom.of(structure, a) for a in range(2))
    assert first.randomness() != last.randomness()
    for atom, other in ((first, last), (last, first)):
        assert atom.signature(transposed=True)[0] == other.signature()[0]
        assert atom.randomness(transposed=True) == other.randomness()


def test_a_pencil_without_an_inverse_is_one_part():
    """Two equations in one variable: no matching, hence no parts; what is singular is told where the structure is analysed."""
    one = Block(Integer(1))
    assert parts({0: {0: one}, 1: {0: one}}) == ({0: 0, 1: 0}, {0: 0, 1: 0})
    rows, columns = parts({0: {0: one}, 1: {1: one}})
    assert rows == columns
    assert rows[0] != rows[1]
