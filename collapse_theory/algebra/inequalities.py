r"""Which side of zero a polynomial is on, given polynomials that are not negative.

A sign is *proved* by writing the polynomial as a combination, with non-negative rational coefficients, of the given ones, of their
products with each other and with the symbols that are not negative, and of 1. For affine polynomials every implication has such a
proof (Farkas); for others it may be missed, and is then not assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Any

from sympy import QQ

__all__ = ["combination_exists", "implied"]


def implied(f: Any, facts: Iterable[Any]) -> bool:
    r"""Return whether ``f >= 0`` is proved from ``g >= 0`` for all ``g`` of the facts.

    Args:
        f: A polynomial of a ring over the rationals (``sympy.polys.rings``).
        facts: Polynomials of the same ring.

    >>> from sympy import QQ, ring
    >>> _, x, y = ring("x, y", QQ)
    >>> implied(x - 1, [x - y, y - 2]), implied(x - 3, [x - y, y - 2]), implied(x * y - 1, [x - 1, y - 1])
    (True, False, True)
    """
    return _implied(f, tuple(dict.fromkeys(facts)))


@lru_cache(maxsize=4096)
def _implied(f: Any, facts: tuple[Any, ...]) -> bool:
    if f.is_ground and f.LC >= 0:
        return True
    one = f.ring.one
    if combination_exists([one, *facts], f):
        return True
    if len(facts) > _PAIRED or all(g.is_linear for g in (f, *facts)):
        return False
    products = [g * h for g, h in combinations_with_replacement(facts, 2)]
    return combination_exists([one, *facts, *products], f)


_PAIRED = 16  # more facts are not multiplied by each other, which would take longer than a further case costs


def combination_exists(columns: Sequence[Any], target: Any) -> bool:
    """Return whether the target is a non-negative combination of the columns: the simplex method, in rationals.

    Bland's rule makes it stop.

    Args:
        columns: Polynomials.
        target: A polynomial.
    """
    monomials = sorted({k for p in (*columns, target) for k in p}, reverse=True)
    rows = []
    for i, k in enumerate(monomials):
        row = [p.get(k, QQ(0)) for p in columns]
        bound = target.get(k, QQ(0))
        turn = -1 if bound < 0 else 1
        rows.append([turn * x for x in row] + [QQ(j == i) for j in range(len(monomials))] + [turn * bound])
    width = len(columns) + len(monomials)
    basis = list(range(len(columns), width))
    cost = [-sum((row[j] for row in rows), QQ(0)) for j in range(len(columns))] + [QQ(0)] * len(monomials)
    cost.append(-sum((row[-1] for row in rows), QQ(0)))
    while cost[-1] != 0:
        enter = next((j for j in range(len(columns)) if cost[j] < 0), None)
        if enter is None:
            return False
        ratios = [(row[-1] / row[enter], basis[i], i) for i, row in enumerate(rows) if row[enter] > 0]
        _, _, leave = min(ratios)
        scale = rows[leave][enter]
        rows[leave] = [x / scale for x in rows[leave]]
        for i in range(len(rows)):
            if i != leave and rows[i][enter] != 0:
                factor = rows[i][enter]
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[leave], strict=True)]
        factor = cost[enter]
        cost = [x - factor * y for x, y in zip(cost, rows[leave], strict=True)]
        basis[leave] = enter
    return True
