"""A formula as a short program: what the source in any language says, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sympy import Expr, Symbol
from sympy.core.relational import Relational

from collapse_theory.describe.truths import Pair
from collapse_theory.symbols import Eigenvalue

__all__ = ["Block", "Call", "Either", "FixedPoint", "For", "Let", "Listing", "Recursion", "Statement"]


@dataclass(frozen=True)
class Let:
    """Give names to values, all at once. A name that is an eigenvalue's is one of a function of the eigenvalues.

    Attributes:
        names: The names.
        values: Expressions in names before.
    """

    names: tuple[Symbol, ...]
    values: tuple[Expr, ...]


@dataclass(frozen=True)
class Call:
    """Name what one of the parts of the library of a language returns.

    Attributes:
        names: The names.
        part: Which part.
        arguments: Expressions.
    """

    names: tuple[Symbol, ...]
    part: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True)
class For:
    """Run a block for each whole number in a range.

    Attributes:
        index: The number.
        first: The first one.
        last: The last one; there may be none.
        block: What is run.
    """

    index: Symbol
    first: Expr
    last: Expr
    block: Block


@dataclass(frozen=True)
class Either:
    """Run one of two blocks.

    Attributes:
        holds: When the first is run.
        block: The first.
        otherwise: The second.
    """

    holds: Relational
    block: Block
    otherwise: Block


@dataclass(frozen=True)
class FixedPoint:
    """Solve ``x_i = f_i(x)`` for positive unknowns.

    Attributes:
        unknowns: The unknowns.
        block: Names what the sides need.
        sides: The right-hand sides.
    """

    unknowns: tuple[Symbol, ...]
    block: Block
    sides: tuple[Expr, ...]


@dataclass(frozen=True)
class Recursion:
    """Run the recursion over fits that share designs: bias and variance of the last.

    Attributes:
        names: The two names.
        fits: Runs of fits: index, first, last, rows and ridge.
        designs: Runs of designs: index, first, last, rows, runs of fits that see it; then labels and noise variance that all of
            these have there, or None and the runs of those that each has, with the amplitude of a noise that they share.
    """

    names: tuple[Symbol, ...]
    fits: tuple[tuple[Any, ...], ...]
    designs: tuple[tuple[Any, ...], ...]


Statement = Let | Call | For | Either | FixedPoint | Recursion
Block = tuple[Statement, ...]


@dataclass(frozen=True)
class Listing:
    """Everything that the source of a formula says.

    Attributes:
        name: What messages call the formula.
        regime: Its regime.
        parameters: Symbols that take values.
        numbers: Symbols that stand for numbers, and these.
        spectra: Names of the eigenvalues of each covariance; none where no integral is taken.
        target: Whether the energies of the target are needed.
        offsets: The pairs of truths of whose offsets the products are needed.
        isotropic: Whether all eigenvalues have to be equal.
        conditions: What has to hold.
        block: The lines.
        result: The test error, in the names.
    """

    name: str
    regime: str
    parameters: tuple[Symbol, ...]
    numbers: tuple[tuple[Symbol, Expr], ...]
    spectra: tuple[Eigenvalue, ...]
    target: bool
    offsets: tuple[Pair, ...]
    isotropic: bool
    conditions: tuple[Relational, ...]
    block: Block
    result: Expr
