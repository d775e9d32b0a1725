r"""Linear pencils: a rational expression in Gaussian matrices as :math:`u^\top Q^{-1}v` with :math:`Q` affine in them.

A pencil is a square system of block equations :math:`\sum_jQ_{ij}x_j=b_i`. Every equation and every variable carries its
dimension, and every block is

.. math:: Q_{ij}=f_{ij}(\Sigma)+\sum_ac_a\,l_a(\Sigma)\,Z_a^{(\top)}\,r_a(\Sigma),

where the deterministic functions act on the dimension they stand next to, and are written in the bound eigenvalues.

Source: Helton, Mai, Speicher, Applications of realizations (a.k.a. linearizations) to free probability, Journal of Functional
Analysis 2018. Pivots in the order of least fill-in: Markowitz, The elimination form of the inverse and its application to
linear programming, Management Science 1957.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from sympy import Expr, S

from collapse_theory.engine.graphs import matching, strong_components
from collapse_theory.engine.letters import GaussianMatrix
from collapse_theory.symbols import Eigenvalue

__all__ = ["Block", "Letter", "Pencil", "eliminate"]


@dataclass(frozen=True)
class Letter:
    """One random factor ``left(Sigma) Z right(Sigma)``, or the same with ``Z.T``.

    Attributes:
        matrix: The Gaussian matrix ``Z``.
        transposed: Whether it stands transposed.
        left: Function of the eigenvalue of the row dimension, without constant factor.
        right: Function of the eigenvalue of the column dimension, without constant factor.
    """

    matrix: GaussianMatrix
    transposed: bool
    left: Expr = S.One
    right: Expr = S.One

    @property
    def transpose(self) -> Letter:
        """The transposed factor."""
        return Letter(self.matrix, not self.transposed, self.right, self.left)


@dataclass(frozen=True)
class Block:
    """An affine block: a deterministic function of one eigenvalue plus random letters with coefficients.

    Attributes:
        fixed: The deterministic part, zero between different dimensions.
        random: Coefficient of each letter, free of eigenvalues.
    """

    fixed: Expr = S.Zero
    random: Mapping[Letter, Expr] = field(default_factory=dict)

    def __add__(self, other: Block) -> Block:
        random = dict(self.random)
        for letter, c in other.random.items():
            random[letter] = random.get(letter, S.Zero) + c
        return Block(_settle(self.fixed + other.fixed), {a: c for a, c in random.items() if _settle(c) != 0})

    def __mul__(self, other: Block) -> Block:
        """Multiply two blocks, at most one of them random."""
        if self.random and other.random:
            raise ValueError("the product of two random blocks is not affine")
        random: dict[Letter, Expr] = {}
        for letter, c in other.random.items():
            factor, function = _split(self.fixed * letter.left)
            if factor != 0:
                random[Letter(letter.matrix, letter.transposed, function, letter.right)] = c * factor
        for letter, c in self.random.items():
            factor, function = _split(letter.right * other.fixed)
            if factor != 0:
                random[Letter(letter.matrix, letter.transposed, letter.left, function)] = c * factor
        return Block(self.fixed * other.fixed, random)

    def __bool__(self) -> bool:
        return bool(self.random) or self.fixed != 0

    @property
    def transpose(self) -> Block:
        """The transposed block."""
        return Block(self.fixed, {letter.transpose: c for letter, c in self.random.items()})


def _split(f: Expr) -> tuple[Expr, Expr]:
    """Return the constant factor of ``f`` and the function of eigenvalues that remains."""
    bound = [x for x in f.free_symbols if isinstance(x, Eigenvalue)]
    constant, function = f.as_independent(*bound, as_Add=False) if bound else (f, S.One)
    return constant, function


def _settle(e: Expr) -> Expr:
    """Return ``e``, or zero if expanding shows that it vanishes."""
    return S.Zero if e.is_Add and e.expand() == 0 else e


@dataclass(frozen=True)
class Pencil:
    """A square affine system of block equations.

    Attributes:
        dimensions: Dimension of each variable, which is also that of the equation of the same index.
        blocks: The non-zero blocks by (equation, variable).
        inputs: The equation that the right-hand side of each named result enters.
        outputs: The variable that holds each named result: the result is ``G[output, input]``.
        covariances: Names of the covariances that act on a dimension, for the dimensions that have any.
    """

    dimensions: tuple[Expr, ...]
    blocks: Mapping[tuple[int, int], Block]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    covariances: Mapping[Expr, tuple[str, ...]]

    @property
    def size(self) -> int:
        """Number of block equations."""
        return len(self.dimensions)

    def __str__(self) -> str:
        """Show one equation per line, the way one would write the linear system down."""
        names = [f"x{j}[{p}]" for j, p in enumerate(self.dimensions)]
        sources = {i: name for name, i in self.inputs.items()}
        lines = []
        for i in range(self.size):
            terms = [
                f"({_show(b)})*{names[j]}"
                for (row, j), b in sorted(self.blocks.items(), key=lambda e: e[0])
                if row == i
            ]
            lines.append(f"{' + '.join(terms)} = {sources.get(i, 0)}")
        return "\n".join([*lines, *(f"result {name} = {names[j]}" for name, j in self.outputs.items())])


def _show(block: Block) -> str:
    terms = [] if block.fixed == 0 else [str(block.fixed)]
    for a, c in block.random.items():
        word = [str(x) for x in (c, a.left) if x != 1] + [a.matrix.name + (".T" if a.transposed else "")]
        terms.append("*".join(word + [str(a.right)] * (a.right != 1)))
    return " + ".join(terms)


Rows = dict[int, dict[int, Block]]


def eliminate(rows: Rows, keep_rows: Iterable[int], keep_columns: Iterable[int]) -> Rows:
    """Return the Schur complement on constant pivots, as long as the system stays affine and block triangular.

    A pivot is a deterministic block that is a number (or a quantity known to be non-zero) times the identity, within one
    irreducible part of the system. It is taken if no product of two random blocks arises; cheapest fill-in first, so
    that shared parts stay shared.

    Args:
        rows: The blocks of each equation by variable; not modified.
        keep_rows: Equations that are not to be eliminated (they have right-hand sides).
        keep_columns: Variables that are not to be eliminated (they are results).
    """
    part_of_row, part_of_column = _parts(rows)
    rows = {i: dict(row) for i, row in rows.items()}
    columns: dict[int, set[int]] = {}
    for i, row in rows.items():
        for j in row:
            columns.setdefault(j, set()).add(i)
    keep_rows, keep_columns = set(keep_rows), set(keep_columns)
    while True:
        best = min(
            (
                ((len(row) - 1) * (len(columns[j]) - 1), i, j)
                for i, row in rows.items()
                if i not in keep_rows
                for j, block in row.items()
                if j not in keep_columns
                and part_of_row[i] == part_of_column[j]
                and _is_pivot(block)
                and _stays_affine(rows, columns, i, j)
            ),
            default=None,
        )
        if best is None:
            return rows
        _pivot(rows, columns, *best[1:])


def _pivot(rows: Rows, columns: dict[int, set[int]], i: int, j: int) -> None:
    """Solve equation ``i`` for variable ``j`` and substitute."""
    row = rows.pop(i)
    scale = Block(-1 / row.pop(j).fixed)
    for other in row:
        columns[other].discard(i)
    for q in columns.pop(j) - {i}:
        head = rows[q].pop(j) * scale
        for other, block in row.items():
            total = rows[q].get(other, Block()) + head * block
            if total:
                rows[q][other] = total
                columns[other].add(q)
            else:
                rows[q].pop(other, None)
                columns[other].discard(q)


def _parts(rows: Rows) -> tuple[dict[int, int], dict[int, int]]:
    """Return the irreducible part that each equation and each variable belongs to."""
    names = sorted(rows)
    place = {j: n for n, j in enumerate(names)}
    pattern = np.zeros((len(names), len(names)), dtype=bool)
    for i, row in rows.items():
        for j in row:
            pattern[place[i], place[j]] = True
    match = matching(pattern)
    if (match < 0).any():  # singular; reported where the structure is analysed
        return dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    label = strong_components(pattern[match])
    return {names[match[n]]: int(label[n]) for n in range(len(names))}, {j: int(label[place[j]]) for j in names}


def _is_pivot(block: Block) -> bool:
    f = block.fixed
    return not block.random and not any(isinstance(x, Eigenvalue) for x in f.free_symbols) and bool(f.is_nonzero)


def _stays_affine(rows: Rows, columns: dict[int, set[int]], i: int, j: int) -> bool:
    if not any(b.random for v, b in rows[i].items() if v != j):
        return True
    return not any(rows[q][j].random for q in columns[j] if q != i)
