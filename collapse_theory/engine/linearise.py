r"""From a SymPy matrix expression to its pencil.

The expression is read as a straight-line program: "apply :math:`E` to the vector :math:`x`" introduces one variable and
one equation for each distinct pair, so that the pencil grows with the expression's graph of shared sub-expressions.
A letter gives :math:`y-Zx=0`; an inverse :math:`y=E^{-1}x` the equation :math:`Ey-x=0`. Constant pivots are then
eliminated.

Source: Haagerup, Thorbjornsen, A new application of random matrices: Ext(C*_red(F_2)) is not a group, Annals of
Mathematics 2005, and Anderson, Convergence of the largest singular value of a polynomial in independent Wigner matrices,
Annals of Probability 2013 (polynomials); Helton, Mai, Speicher, Applications of realizations (a.k.a. linearizations) to free
probability, Journal of Functional Analysis 2018 (rational expressions).
"""

from __future__ import annotations

from sympy import (
    Add,
    Expr,
    Identity,
    MatAdd,
    MatMul,
    MatPow,
    MatrixExpr,
    Mul,
    Pow,
    S,
    Transpose,
    ZeroMatrix,
)
from sympy.matrices.expressions.inverse import Inverse

from collapse_theory.core.errors import DomainError
from collapse_theory.engine.language import checked
from collapse_theory.engine.letters import Covariance, GaussianMatrix
from collapse_theory.engine.pencil import Block, Letter, Pencil, Rows, eliminate

__all__ = ["linearise"]


def linearise(expression: MatrixExpr) -> Pencil:
    """Return the pencil whose solution operator, from input ``x`` to output ``y``, is ``expression``.

    Args:
        expression: Sums, products, transposes, inverses and integer powers of Gaussian matrices, covariances and the
            identity, with scalar coefficients.

    Raises:
        DomainError: If shapes do not fit or the expression is outside the language; the message has the culprit.
        NonCommutingError: If covariances that are not declared commuting act on one space.

    >>> from collapse_theory import symbols
    >>> Z = GaussianMatrix("Z", symbols.T, symbols.d)
    >>> print(linearise((Z.T * Z + Identity(symbols.d)).inv()))
    (1)*x0[d] + (Z.T)*x1[T] = x
    (-1*Z)*x0[d] + (1)*x1[T] = 0
    result x = x0[d]
    """
    covariances = checked(expression)
    program = _Program()
    start = program.variable(expression.cols)
    program.rows[start] = {start: Block(S.One)}
    out = program.apply(expression, start)
    if out is None:
        return Pencil(
            (expression.rows, expression.rows),
            {(0, 0): Block(S.One), (1, 1): Block(S.One)},
            {"x": 0},
            {"x": 1},
            covariances,
        )
    return _assemble(program, start, out, covariances)


def _assemble(program: _Program, start: int, out: int, covariances: dict[Expr, tuple[str, ...]]) -> Pencil:
    """Eliminate constant pivots and number what is left, equations and variables of one dimension side by side."""
    rows = eliminate(program.rows, [start], [out])
    users = [i for i, row in rows.items() if i != start and start in row]
    if out != start and len(users) == 1 and _is_sign(rows[users[0]][start]):
        (enters,) = users  # the input stands in one equation only: it is that equation's right-hand side
        sign = Block(-rows[enters].pop(start).fixed)
        rows[enters] = {j: sign * b for j, b in rows[enters].items()}
        del rows[start]
        start = enters
    unused = sorted({j for row in rows.values() for j in row})
    variable: dict[int, int] = {}
    equation: dict[int, int] = {}
    dimensions: list[Expr] = []
    for p in dict.fromkeys(program.dimensions[j] for j in unused):
        mine = [j for j in unused if program.dimensions[j] == p]
        equations = [i for i in sorted(rows) if program.dimensions[i] == p]
        for j, i in zip(mine, equations, strict=True):
            variable[j], equation[i] = len(dimensions), len(dimensions)
            dimensions.append(p)
    blocks = {(equation[i], variable[j]): b for i, row in rows.items() for j, b in row.items()}
    for i in set(range(len(dimensions))) - {equation[start]}:
        if blocks.get((i, i), Block()).fixed.could_extract_minus_sign():  # equal parts are to look equal
            blocks.update({key: Block(-S.One) * b for key, b in blocks.items() if key[0] == i})
    return Pencil(tuple(dimensions), blocks, {"x": equation[start]}, {"x": variable[out]}, covariances)


def _is_sign(block: Block) -> bool:
    """Whether a block is plus or minus the identity as a whole: a deterministic part alone does not say so."""
    return not block.random and block.fixed in {1, -1}


class _Program:
    """The straight-line program under construction."""

    def __init__(self) -> None:
        self.dimensions: list[Expr] = []
        self.rows: Rows = {}
        self.known: dict[tuple[MatrixExpr, int], int | None] = {}
        self.functions: dict[MatrixExpr, Expr | None] = {}

    def variable(self, dimension: Expr) -> int:
        self.dimensions.append(dimension)
        return len(self.dimensions) - 1

    def define(self, dimension: Expr, terms: dict[int, Block]) -> int:
        """Return a new variable ``y`` with the equation ``y - sum_j terms_j x_j = 0``."""
        y = self.variable(dimension)
        minus = Block(-S.One)
        self.rows[y] = {j: minus * b for j, b in terms.items()} | {y: Block(S.One)}
        return y

    def apply(self, e: MatrixExpr, x: int) -> int | None:
        """Return the variable ``e x``, or None if it is zero."""
        key = (e, x)
        if key not in self.known:
            self.known[key] = self._apply(e, x)
        return self.known[key]

    def function(self, e: MatrixExpr) -> Expr | None:
        """Return ``e`` as a function of the bound eigenvalues, or None if it is random."""
        if e not in self.functions:
            self.functions[e] = self._function(e)
        return self.functions[e]

    def _function(self, e: MatrixExpr) -> Expr | None:
        if isinstance(e, GaussianMatrix):
            return None
        if isinstance(e, Covariance):
            return e.eigenvalue
        if isinstance(e, (Identity, ZeroMatrix)):
            return S.One if isinstance(e, Identity) else S.Zero
        inner = [self.function(a) for a in e.args if isinstance(a, MatrixExpr)]
        if any(f is None for f in inner):
            return None
        if isinstance(e, MatMul):
            return Mul(*(a for a in e.args if not isinstance(a, MatrixExpr)), *inner)
        if isinstance(e, MatAdd):
            return Add(*inner)
        if isinstance(e, (Inverse, MatPow)):
            return Pow(inner[0], -1 if isinstance(e, Inverse) else e.exp)
        return inner[0]

    def _apply(self, e: MatrixExpr, x: int) -> int | None:
        function = self.function(e)
        if function is not None:
            return x if function == 1 else None if function == 0 else self.define(e.rows, {x: Block(function)})
        if isinstance(e, GaussianMatrix):
            return self.define(e.rows, {x: Block(random={Letter(e, transposed=False): S.One})})
        if isinstance(e, Transpose):
            return self._transposed(e.arg, x)
        if isinstance(e, MatMul):
            return self._product(e, x)
        if isinstance(e, MatAdd):
            return self._sum(e, x)
        base, exponent = (e.arg, -1) if isinstance(e, Inverse) else (e.base, int(e.exp))
        y: int | None = x
        for _ in range(abs(exponent)):
            if y is not None:
                y = self.apply(base, y) if exponent > 0 else self._inverse(base, y)
        return y

    def _transposed(self, e: MatrixExpr, x: int) -> int | None:
        if isinstance(e, GaussianMatrix):
            return self.define(e.cols, {x: Block(random={Letter(e, transposed=True): S.One})})
        return self.apply(_push_transpose(e), x)

    def _product(self, e: MatMul, x: int) -> int | None:
        scalar, factors = e.as_coeff_matrices()
        y: int | None = x
        for factor in reversed(factors):
            y = None if y is None else self.apply(factor, y)
        if y is None or scalar == 0:
            return None
        return y if scalar == 1 else self.define(e.rows, {y: Block(scalar)})

    def _sum(self, e: MatAdd, x: int) -> int | None:
        terms: dict[int, Block] = {}
        for term in e.args:
            y = self.apply(term, x)
            if y is not None:
                terms[y] = terms.get(y, Block()) + Block(S.One)
        return self.define(e.rows, terms) if terms else None

    def _inverse(self, e: MatrixExpr, x: int) -> int:
        known = (Inverse(e), x)
        if self.known.get(known) is not None:
            return self.known[known]  # type: ignore[return-value]
        y = self.variable(e.rows)
        image = self.apply(e, y)
        if image is None:
            raise DomainError(
                f"deterministic_equivalent needs invertible matrices, got the inverse of {e}, which is zero; remove it"
            )
        self.rows[y] = {image: Block(S.One), x: Block(-S.One)}
        self.known[known] = y
        return y


def _push_transpose(e: MatrixExpr) -> MatrixExpr:
    """Return the transpose of ``e`` with the transposes moved down to the letters."""
    if isinstance(e, MatMul):
        scalar, factors = e.as_coeff_matrices()
        return MatMul(scalar, *(f.T for f in reversed(factors)))
    if isinstance(e, MatAdd):
        return MatAdd(*(f.T for f in e.args))
    if isinstance(e, Inverse):
        return Inverse(e.arg.T)
    return MatPow(e.base.T, e.exp)
