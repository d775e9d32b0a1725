r"""The recursion of :mod:`collapse_theory.derive.cavity` at many points at once, in float64 or complex numbers.

Of all functions of the eigenvalues only the traces of products of two are wanted, and all of them have the rows of
:math:`R` as factors. So the functions are computed once, and what the equations need are matrix products of stacked rows: with
:math:`\varphi_{ka}=s\rho_kR_{kk}` for each way :math:`a` in which fit :math:`k` sees a design, and
:math:`G_{km}=\sum_ag_{kma}\,s\rho_k`,

.. math:: R_{kl}=-\sum_a\varphi_{ka}\sum_{l\le m<k}g_{kma}R_{ml},\qquad
   \operatorname{tr}s'R_{kl}=-\sum_a\sum_{l\le m<k}g_{kma}\operatorname{tr}[\varphi_{ka}\,s'R_{ml}],

and a covariance :math:`H_{kl}=h_{kl}\,s\rho_k\rho_l` that two fits' residuals make on their shared designs, once it is known, adds

.. math:: h_{kl}\,\Gamma_{ij}+[k\ne l]\,h_{kl}\,\Gamma_{ji},\qquad
   \Gamma_{ij}=\operatorname{tr}[s'\,s\,\rho_kR_{ik}\,\rho_lR_{jl}],

to :math:`Q_{ij}` of every later pair of fits. Everything else is scalar. The energies enter by
:math:`\sum_je_js_jF_kF_l` in the same way. The parameters may be complex: an infinitesimal imaginary part of theirs is a
derivative.

Shapes: functions are (points, ..., nodes), scalars (..., points); the two sources, coefficients and label noises, are an axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from collapse_theory.numerics.complements import eliminate
from collapse_theory.numerics.fit_tables import FitTables, Layout
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.reals import FLOAT64

__all__ = ["FitArrays", "pooled_moments"]

_FEW = 12  # products of two functions that are faster one by one than as a product of matrices

Sight = tuple[str, bool]
"""How a fit sees a design: its covariance, and whether the fit's residuals there are scaled per direction."""


@dataclass(frozen=True)
class FitArrays:
    """One fit on its own.

    Attributes:
        kernel: :math:`R_{kk}`, shape (points, nodes).
        kept: :math:`p_kR_{kk}`, alike.
        penalty: :math:`p_k`, alike; None where no design is scaled by it.
        scaled: Of each of its designs whether it is scaled by the penalty.
        uniform: Whether its directions are all open or all closed, see :mod:`.resolvents`.
        response: :math:`L_{kk}` on each of its designs, shape (designs, points).
        load: ``theta`` of each design, see :mod:`.complements`, alike.
        offset: ``c / x`` of each design, alike.
    """

    kernel: np.ndarray
    kept: np.ndarray
    penalty: np.ndarray | None
    scaled: Sequence[bool]
    uniform: bool
    response: np.ndarray
    load: np.ndarray
    offset: np.ndarray


def pooled_moments(
    layout: Layout,
    tables: FitTables,
    measure: Measure,
    values: Mapping[str, np.ndarray],
    fits: Sequence[FitArrays],
    nudge: np.ndarray,
) -> np.ndarray:
    """Return bias and noise of the last fit, shape (2, points).

    Args:
        layout: The designs of the system.
        tables: The scalar parameters.
        measure: The directions and the energies.
        values: Eigenvalues by covariance, of shape (points, nodes).
        fits: Every fit on its own.
        nudge: Relative error with a random sign that every trace is given, shape (points,).
    """
    responses = _StackedResponses(layout, tables, measure, values, fits, nudge)
    return _StackedMoments(responses).last()


class _StackedResponses:
    """The first moments, row by row to the left."""

    def __init__(
        self,
        layout: Layout,
        tables: FitTables,
        measure: Measure,
        values: Mapping[str, np.ndarray],
        fits: Sequence[FitArrays],
        nudge: np.ndarray,
    ) -> None:
        self.layout, self.tables, self.measure, self.s, self.fits = layout, tables, measure, values, fits
        self.counted = {name: s * measure.counts for name, s in values.items()}
        self._nudge, self._signs = nudge, np.random.default_rng(0) if nudge.any() else None
        self.covariances = tuple(dict.fromkeys(D.covariance for D in layout.designs))
        self.sights = [
            [(layout.designs[D].covariance, scaled) for D, scaled in zip(seen, f.scaled, strict=True)]
            for seen, f in zip(layout.seen, fits, strict=True)
        ]
        n, designs, kernel = len(fits), len(layout.designs), fits[0].kernel
        dtype = np.result_type(kernel, tables.mass)
        points, nodes = kernel.shape
        self.means = np.empty((points, n, nodes), dtype=dtype)
        self.R = [np.empty((points, n, n, nodes), dtype=dtype)]  # by the earlier fit, then by the later one
        self.penalties: np.ndarray | None = None
        if any(f.penalty is not None for f in fits):
            self.penalties = np.stack([np.ones_like(kernel) if f.penalty is None else f.penalty for f in fits], axis=1)
            self.R.append(np.empty_like(self.R[0]))
        self.L = np.zeros((designs, n, n, points), dtype=dtype)
        self.theta = np.zeros_like(self.L)
        self.spread: list[Mapping[str, np.ndarray]] = []
        self.meets: list[Mapping[tuple[Sight, str, bool], np.ndarray]] = []
        self.kept: list[Mapping[str, np.ndarray]] = []
        for k in range(n):
            self._add(k)

    # ------------------------------------------------------------------ traces
    def traces(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the sums over the nodes of the products of stacked functions, shape (left, right, points)."""
        if left.shape[1] * right.shape[1] <= _FEW and not np.iscomplexobj(left):
            total = np.vecdot(left[:, :, None], right[:, None])
        else:
            total = left @ right.swapaxes(-1, -2)
        return self.nudged(total.transpose(1, 2, 0))

    def against(self, f: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the sums of one function times each of stacked ones, shape (right, points)."""
        return self.traces(f[:, None], right)[0]

    def nudged(self, total: np.ndarray) -> np.ndarray:
        """Return sums with their random errors."""
        if self._signs is None:
            return np.ascontiguousarray(total)
        return np.multiply(total, 1 + self._nudge * (2 * self._signs.integers(2, size=total.shape) - 1), order="C")

    # ------------------------------------------------------------------ one fit
    def _add(self, k: int) -> None:
        f, t = self.fits[k], self.tables
        own = self.layout.seen[k]
        self.L[own, k, k] = f.response
        self._fill(k, k, f.kernel)
        taken = {a: self._forced(k, a) * f.kernel for a in dict.fromkeys(self.sights[k])}
        counted = {(a, C): x * self.counted[C] for a, x in taken.items() for C in self.covariances}
        self._meet(k, counted)
        total = {a: self.nudged(x @ self.measure.counts) for a, x in taken.items()}
        for D, a in zip(own, self.sights[k], strict=True):
            self.theta[D, k, k] = t.per_row[D, k] * total[a]
        push = self._respond(k, counted)
        for other in range(k):
            self._fill(other, k, self._combined(taken, push, self.R[0][:, other, other:k], other))
        mean = f.kept + self._combined(taken, push, self.means[:, :k]) if k else f.kept
        if t.unlabelled is not None:
            for a, x in taken.items():
                here = [D for D, b in zip(own, self.sights[k], strict=True) if a == b]
                drift = np.einsum("dp,dmp,dmp->p", t.mass[here, k], self.L[here, k], t.unlabelled[here])
                mean = mean + x * drift[:, None]
        self.means[:, k] = mean

    def _fill(self, other: int, k: int, R: np.ndarray) -> None:
        """Keep one row of ``R``, and that times the earlier fit's penalty."""
        self.R[0][:, other, k] = R
        if self.penalties is not None:
            self.R[1][:, other, k] = R * self.penalties[:, other]

    def _combined(
        self, taken: Mapping[Sight, np.ndarray], push: Mapping[Sight, np.ndarray], rows: np.ndarray, first: int = 0
    ) -> Any:
        """Return what a fit makes of rows of all earlier ones from the first: minus ``R_kk G`` times them."""
        return sum(x * (-push[a][first:].T[:, None] @ rows)[:, 0] for a, x in taken.items())

    def _forced(self, k: int, sight: Sight) -> np.ndarray:
        covariance, scaled = sight
        return self.s[covariance] * self.fits[k].penalty if scaled else self.s[covariance]

    def _meet(self, k: int, counted: Mapping[tuple[Sight, str], np.ndarray]) -> None:
        """Take the overlaps of a fit's own functions with the kernel of every fit up to it."""
        f = self.fits[k]
        kernels = [np.moveaxis(R[:, : k + 1, : k + 1].diagonal(axis1=1, axis2=2), -1, 1) for R in self.R]
        self.meets.append({
            (a, C, bool(scaled)): self.against(x, K) for (a, C), x in counted.items() for scaled, K in enumerate(kernels)
        })  # fmt: skip
        self.kept.append({C: self.against(f.kept * self.counted[C], kernels[0]) for C in self.covariances})
        self.spread.append({C: self.against(self.counted[C], f.kernel[:, None])[0] for C in self.covariances})

    def _respond(self, k: int, counted: Mapping[tuple[Sight, str], np.ndarray]) -> Mapping[Sight, np.ndarray]:
        """Solve the responses to every earlier fit; return ``g``, shape (earlier fits, points), by sight."""
        own, t, f = self.layout.seen[k], self.tables, self.fits[k]
        labels, mass, L = t.labels[own], t.mass[own, k], self.L[own]
        effect = np.einsum("dap,damp->dmp", labels[:, k, :k], self.theta[own, :k, :k])
        row = np.zeros((len(own), k + 1, mass.shape[-1]), dtype=L.dtype)
        row[:, k] = f.response
        sights = list(dict.fromkeys(self.sights[k]))
        g = {a: np.zeros((k, mass.shape[-1]), dtype=L.dtype) for a in sights}
        where = {a: [i for i, b in enumerate(self.sights[k]) if a == b] for a in sights}
        for other in reversed(range(k)):
            before = -f.response * np.einsum("dmp,dmp->dp", effect[:, other:], L[:, other:k, other])
            labelled = np.einsum("dmp,dmp->dp", row[:, other + 1 :], labels[:, other + 1 : k + 1, other])
            push = mass * (before + labelled)
            for a in sights:
                g[a][other] = push[where[a]].sum(0)
            shared = [i for i, D in enumerate(own) if other in self.layout.designs[D].place]
            seen = dict(zip(self.layout.seen[other], self.sights[other], strict=True))
            looks = list(dict.fromkeys(seen.values()))
            start = {b: -sum(self._reached(k, a, b, other, counted, g[a]) for a in sights) for b in looks}
            if shared:
                moves = {i: -mass[i] * f.response[i] * (t.per_row[own[i], other] * L[i, other, other]) for i in shared}
                about = list(dict.fromkeys(seen[own[i]] for i in shared))
                matrix = dict.fromkeys(product(about, about), 0.0)
                for i, move in moves.items():
                    for b in about:
                        matrix[b, seen[own[i]]] -= move * self.meets[k][self.sights[k][i], *b][other]
                solved = self.coupled((k, other), about, matrix, start)
                shift = {a: 0 * g[a][other] for a in sights}
                for i, move in moves.items():
                    value = solved[seen[own[i]]]
                    shift[self.sights[k][i]] += move * value
                    theta = t.per_row[own[i], other] * value
                    row[i, other] = before[i] - f.response[i] * theta * L[i, other, other]
                    effect[i, other] += theta
                for a in sights:
                    g[a][other] += shift[a]
                further = {b: x for b, x in start.items() if b not in solved}
                start = solved | {
                    b: x - sum(shift[a] * self.meets[k][a, *b][other] for a in sights) for b, x in further.items()
                }
            for D, b in seen.items():
                self.theta[D, k, other] = t.per_row[D, other] * start[b]
        self.L[own, k, : k + 1] = row
        return g

    def _reached(
        self, k: int, a: Sight, b: Sight, other: int, counted: Mapping[tuple[Sight, str], np.ndarray], g: np.ndarray
    ) -> np.ndarray:
        """Return what an earlier fit's design sees of the forces ``g`` on all fits from that one to the last before ``k``."""
        C, scaled = b
        known = g[other] * self.meets[k][a, C, scaled][other]
        if other == k - 1:
            return known
        between = self.against(counted[a, C], self.R[scaled][:, other, other + 1 : k])
        return known + (g[other + 1 :] * between).sum(0)

    # ------------------------------------------------------------------ equations between two fits
    def coupled(
        self,
        pair: tuple[int, int],
        about: Sequence[Sight],
        matrix: Mapping[tuple[Sight, Sight], Any],
        right: Mapping[Sight, Any],
    ) -> dict[Sight, Any]:
        """Return ``x`` of ``x = right + matrix x``, without cancellation where no scale differs between directions."""
        k, other = pair
        known = [right[b] for b in about]
        if self.fits[k].uniform and self.fits[other].uniform:
            v, slack = self._slack(k, other, [covariance for covariance, _ in about])
            place = {b: i for i, b in enumerate(about)}
            entries = {(place[a], place[b]): x for (a, b), x in matrix.items() if a != b and a in place}
            return dict(zip(about, eliminate(entries, v, slack, known), strict=True))
        rows = [np.stack([(a == b) - matrix[a, b] for b in about], -1) for a in about]
        x = FLOAT64.solve(np.stack(rows, -2), np.stack(known, -1))
        return {b: x[..., i] for i, b in enumerate(about)}

    def _slack(self, k: int, other: int, covariances: Sequence[str]) -> tuple[list[Any], list[Any]]:
        """Return ``v`` and ``(1 - A) v`` of :mod:`.complements`."""
        f, g = self.fits[k], self.fits[other]
        place = {D: n for n, D in enumerate(self.layout.seen[other])}
        out = []
        for C in covariances:
            total = self.kept[k][C][other]
            for n, D in enumerate(self.layout.seen[k]):
                part = f.load[n] * self.meets[k][self.sights[k][n], C, False][other]
                total = total + (part * g.offset[place[D]] if D in place else part)
            out.append(total)
        return [self.spread[other][C] for C in covariances], out


class _StackedMoments:
    """The second moments that the two sources make, entry by entry."""

    def __init__(self, responses: _StackedResponses) -> None:
        self.of, self.layout, self.tables = responses, responses.layout, responses.tables
        n, points = len(responses.fits), responses.L.shape[-1]
        self.names = responses.layout.system.covariances
        self.index = np.array([self.names.index(D.covariance) for D in self.layout.designs])
        self.known = np.zeros((len(self.names), 2, n, n, points), dtype=responses.L.dtype)
        self.drawn = np.zeros((len(self.layout.designs), 2, n, n, points), dtype=responses.L.dtype)
        self.drawn[:, 1] = self.tables.noise
        self._products: dict[frozenset[str], np.ndarray] = {}
        self._sources()
        self.Q = np.zeros_like(self.known)
        self.residual, self.left = np.zeros_like(self.drawn), np.zeros_like(self.drawn)
        for k in range(n):
            self._add(k)

    def last(self) -> np.ndarray:
        """Return the last entry for the covariance of the test inputs, shape (2, points)."""
        return self.Q[self.names.index(self.layout.system.test_covariance), :, -1, -1]

    def _sources(self) -> None:
        """Take the forms of the mean errors, which are a source of their own and where labels do not add up to one."""
        t, means, energies = self.tables, self.of.means, self.of.measure.energies
        if energies is None:
            raise AssertionError("the bias needs the energies of a target")
        for c, name in enumerate(self.names):
            weighed = means * (self.of.s[name] * energies)[:, None]
            self.known[c, 0] = self.of.traces(weighed, means)
            if t.unlabelled is None:
                continue
            single = self.of.nudged(weighed.sum(-1).T)
            nothing = self.of.nudged(self.of.s[name] @ energies)
            for D in np.flatnonzero(self.index == c):
                free = t.unlabelled[D]
                seen = np.einsum("kmp,mp->kp", t.labels[D], single)
                self.drawn[D, 0] = (
                    free[:, None] * free[None] * nothing - free[None] * seen[:, None] - free[:, None] * seen[None]
                )

    def _add(self, k: int) -> None:
        own, t, of = np.array(self.layout.seen[k]), self.tables, self.of
        L, covariance = of.L[own], self.index[own]
        seen = np.einsum("dip,dsijp->dsjp", t.labels[own, k, :k], self.Q[covariance, :, :k, : k + 1])
        weighed: dict[Any, np.ndarray] = {}
        for other in range(k + 1):
            here = [i for i, D in enumerate(own) if other in self.layout.designs[D].place]
            right = self.known[:, :, k, other].copy()
            if here:
                self._solve(k, other, own[here], L[here], seen[here], right, weighed)
            self.Q[:, :, k, other] = self.Q[:, :, other, k] = right
            seen[:, :, other] += right[covariance]
            if other < k:
                seen[:, :, k] += t.labels[own, k, other][:, None] * right[covariance]

    def _solve(
        self,
        k: int,
        other: int,
        shared: np.ndarray,
        L: np.ndarray,
        seen: np.ndarray,
        right: np.ndarray,
        weighed: dict[Any, np.ndarray],
    ) -> None:
        """Solve one entry for all covariances, in place of ``right``, and add what it does to later ones."""
        t, of = self.tables, self.of
        mine, theirs = ([of.fits[m].scaled[self.layout.designs[D].place[m]] for D in shared] for m in (k, other))
        ways = [(int(c), a, b) for c, a, b in zip(self.index[shared], mine, theirs, strict=True)]
        gamma = {way: self._gamma(k, other, way, weighed) for way in dict.fromkeys(ways)}
        drawn = self.drawn[shared, :, k, other] + np.einsum("djp,dsjp->dsp", t.labels[shared, other, : k + 1], seen)
        before = np.einsum("dmp,dsmp->dsp", L[:, k, :k], self.residual[shared, :, :k, other])
        ends = L[:, k, k][:, None], L[:, other, other][:, None]
        left = before + ends[0] * drawn
        whole = left * ends[1] + np.einsum(
            "dsmp,dmp->dsp", self.left[shared, :, k, :other], of.L[shared, other, :other]
        )
        share = (t.mass[shared, k] * t.per_row[shared, other])[:, None]
        rows: dict[Any, Any] = {}
        gain: dict[Any, Any] = {}
        for i, way in enumerate(ways):
            rows[way] = rows.get(way, 0) + (share * whole)[i]
            gain[way] = gain.get(way, 0) + (share * ends[0] * ends[1])[i, 0]
        for way, h in rows.items():
            right += h * gamma[way][:, None, 0, 0]
        names, about = self.names, list(dict.fromkeys(c for c, _, _ in ways))
        feedback = dict.fromkeys(product(range(len(names)), about), 0.0)
        for way, x in gain.items():
            for c in range(len(names)):
                feedback[c, way[0]] += x * gamma[way][c, 0, 0]
        found = of.coupled(
            (k, other),
            [(names[c], False) for c in about],
            {((names[a], False), (names[b], False)): x for (a, b), x in feedback.items()},
            {(names[c], False): right[c] for c in about},
        )
        solved = {c: found[names[c], False] for c in about}
        for c in range(len(names)):
            right[c] = solved[c] if c in solved else right[c] + sum(feedback[c, b] * x for b, x in solved.items())
        reached = np.stack([solved[c] for c in self.index[shared]])
        self.residual[shared, :, k, other] = self.residual[shared, :, other, k] = drawn + reached
        self.left[shared, :, k, other] = left + ends[0] * reached
        for way, x in gain.items():
            h = rows[way] + x * solved[way[0]]
            more = h[:, None, None] * gamma[way][:, None]
            self.known[:, :, k:, other:] += more
            if k != other:
                self.known[:, :, other:, k:] += more.swapaxes(2, 3)

    def _gamma(self, k: int, other: int, way: tuple[int, bool, bool], weighed: dict[Any, np.ndarray]) -> np.ndarray:
        """Return the overlaps of the rows of a pair's responses, shape (covariances, fits from k, fits from other, points)."""
        c, mine, theirs = way
        out = []
        for name in self.names:
            pair = frozenset((name, self.names[c]))
            if (pair, mine) not in weighed:
                weighed[pair, mine] = self.of.R[mine][:, k, k:] * self._squares(pair)[:, None]
            out.append(self.of.traces(weighed[pair, mine], self.of.R[theirs][:, other, other:]))
        return np.stack(out)

    def _squares(self, pair: frozenset[str]) -> np.ndarray:
        """Return the product of two covariances' eigenvalues, times the counts."""
        if pair not in self._products:
            self._products[pair] = self.of.counted[min(pair)] * self.of.s[max(pair)]
        return self._products[pair]
