r"""The test error of any linear pipeline, fit by fit: leave one row, or one feature, out of all fits that see it.

Fit :math:`k` has the error :math:`\delta_k=\hat w_k-w_0` and, on every design :math:`D` that it pools, residuals
:math:`r_k`. With row weights :math:`a_D`, labels :math:`\sum_lc_{kl}\hat w_l+c_kw_0` and noise :math:`\xi_k`,

.. math:: p_k(\delta_k+w_0)=\sum_D\frac{a_D}{N_k}\rho_kX_D^\top r_k,\qquad
   q_kr_k=\xi_k-X_D\big(C\delta+t\,w_0\big)_k,\qquad C=1-c,\quad t_k=1-c_k-\sum_lc_{kl},

where the scales :math:`p,q,\rho` are those of a fit on its own (:class:`OwnFit`). A row :math:`x` of :math:`D` moves
:math:`x^\top\delta` of every later fit in proportion to its own residuals. Taken out of all fits, it is independent of them;
put back, it gives, with lower triangular matrices over the fits,

.. math:: r=L\big(\xi-Cg-t\,x^\top w_0\big),\qquad L=(q+C\theta)^{-1},\qquad
   \theta_{kl}=\frac{a_l}{N_l}\operatorname{tr}\Sigma_DR_{kl}\rho_l,

:math:`g` Gaussian with :math:`\operatorname{Cov}g=Q_D`, and in the eigendirection of :math:`s` the errors are
:math:`\delta=-F\,w_0` plus a noise of covariance :math:`K`:

.. math:: R=(p+G)^{-1},\quad G_{kl}=\sum_Dm_k\rho_ks_D(LC)_{kl},\quad F=R\Big(p+\sum_Dm\rho s_DLt\Big),\quad
   K=RHR^\top,\quad H_{kl}=\sum_D\frac{m_km_l}{T_D}\rho_k\rho_ls_DV_{kl},

.. math:: V=L\operatorname{Cov}\!\big[\xi-Cg-t\,x^\top w_0\big]L^\top,\qquad
   Q_D=w_0^\top\Sigma_DFF^\top w_0+\operatorname{tr}\Sigma_DK,\qquad m_k=a_kT_D/N_k .

:math:`\theta_{kl}` and :math:`Q_{kl}` occur on both sides of an equation that is linear in them once those of earlier fits are
known; only the diagonals, the effective ridges, are not. The test error of a fit is its entry of :math:`Q`, that of a
combination of fits a sum of entries. The residuals of a fit on its own rows are :math:`qr`, so that their mean square is
:math:`q^2V`. Labels of its rows that it does not see as they are (samples that share inputs are averaged) are one more row of
:math:`C` with :math:`q=1` and no force.

Rows may be labelled by other truths :math:`w_u` too. With their coefficients :math:`c_{ku}` counted in :math:`c_k`, labels are
:math:`c_kw_0+\sum_uc_{ku}(w_u-w_0)`: each offset is one more source of mean errors, :math:`\delta=-Fw_0-\sum_uF_u(w_u-w_0)`, with

.. math:: F_u=R\sum_Dm\rho s_DLt_u,\qquad t_{ku}=-c_{ku},

and wherever :math:`w_0w_0^\top` stands between two :math:`F`, or two :math:`t`, so do the products of the offsets.

Rows and features enter alike. A fit on features, :math:`\hat w=Fv` with i.i.d. :math:`N(0,1/m)` entries of :math:`F`, has
:math:`\varsigma v=F^\top u` for the force :math:`u=\sum_D\frac{a_D}{N}\rho X_D^\top r`. One feature, left out of all fits that see
it and put back, gives, with lower triangular matrices over the fits that share features,

.. math:: P\,\hat w=u+Pz,\qquad P=\varsigma+\tfrac1m\operatorname{tr}[P-PRP],\qquad\operatorname{Cov}z=\zeta\,I,\qquad
   m\,\zeta=\operatorname{tr}\mathbb E(\hat w-z)(\hat w-z)^\top,

:math:`P` in place of :math:`p`: the fits are noisy in all directions, :math:`K` becomes :math:`R(H+P\zeta P^\top)R^\top`, and with
:math:`J=1-RP=RG`, the share of a direction that a fit learns, :math:`P-PRP=PJ` and

.. math:: \operatorname{tr}\mathbb E(\hat w-z)(\hat w-z)^\top=w_0^\top(1-F)(1-F)^\top w_0+\operatorname{tr}[RHR^\top+J\zeta J^\top].

Source: the cavity method, Mezard, Parisi, Virasoro, Spin Glass Theory and Beyond, 1987; for algorithms that reuse their data,
Celentano, Cheng, Montanari, The high-dimensional asymptotics of first order methods with random data, 2021. The recursion over
the fits of a pipeline is ours; that it equals operator-valued free probability is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sympy import Expr

from collapse_theory.derive.pooled import Combination, Noise, PooledDesign, PooledSystem, Residuals
from collapse_theory.describe.nodes import TRUTH
from collapse_theory.describe.truths import Pair as Truths
from collapse_theory.describe.truths import pair_of

__all__ = ["FEATURES", "Cavity", "Design", "Field", "OwnFit", "Pair", "designs_of", "unlabelled"]

Pair = tuple[int, int]
"""A fit and one before it, or itself, by position."""

FEATURES = ("features", False)
"""What an unknown on shared features is about; no covariance is."""


@dataclass(frozen=True)
class OwnFit:
    r"""A fit as if it were alone: its effective ridges, and the scales in which they are finite.

    Attributes:
        kernel: :math:`R_{kk}`, a function of the eigenvalues.
        kept: :math:`p_kR_{kk}`, a function of the eigenvalues: what the fit alone misses of the true coefficients; for a fit on
            features :math:`P_{kk}R_{kk}`.
        response: :math:`L_{kk}` on each of its designs.
        reach: :math:`\rho_k` on each of its designs: a function of the eigenvalues, or the integer 1.
        left: :math:`q_k` on each of its designs: the share of a residual that is left to see.
        penalty: :math:`P_{kk}` of a fit on features.
    """

    kernel: Any
    kept: Any
    response: Sequence[Any]
    reach: Sequence[Any]
    left: Sequence[Any]
    penalty: Any = None


@dataclass(frozen=True)
class Design:
    """A design, and the place it has among the designs of each fit that sees it."""

    inputs: int
    covariance: str
    place: dict[int, int]


@dataclass(frozen=True)
class Row:
    r"""A residual of a row of a design, :math:`\xi-Cg-x^\top\big(t\,w_0+\sum_ut_u(w_u-w_0)\big)`.

    Attributes:
        weights: Position of a fit and its entry of :math:`C`.
        unlabelled: :math:`t` of the tested truth and :math:`t_u` of the others, by name; those of zero are left out.
        noises: The label noises in :math:`\xi`.
    """

    weights: tuple[tuple[int, Any], ...]
    unlabelled: Mapping[str, Any]
    noises: tuple[Noise, ...] = ()


def designs_of(system: PooledSystem) -> list[Design]:
    """Return the designs of a system, in the order in which its fits see them."""
    found: dict[int, Design] = {}
    for k, f in enumerate(system.fits):
        for n, x in enumerate(f.designs):
            found.setdefault(x.inputs, Design(x.inputs, x.covariance, {})).place[k] = n
    return list(found.values())


class Field(Protocol):
    """The elements the recursion computes with: arrays over the eigenvalues, or expressions in one."""

    def number(self, e: Expr) -> Any:
        """Return a parameter of the system."""

    def eigenvalue(self, covariance: str) -> Any:
        """Return the eigenvalues of a covariance."""

    def own(self, k: int) -> OwnFit:
        """Return a fit on its own."""

    def trace(self, f: Any) -> Any:
        """Return the sum of a function over the eigenvalues."""

    def form(self, f: Any, truths: Truths) -> Any:
        """Return its sum weighted by the energies of the target, or by the products of two of ``w0`` and the offsets from it."""

    def named(self, kind: str, index: tuple[Any, ...], e: Any) -> Any:
        """Return an intermediate result, possibly under a name: of a kind, for fits and what it is about."""

    def coupled(
        self, pair: Pair, sights: Sequence[tuple[str, bool]], feedback: Callable[[int, int], Any], right: Sequence[Any]
    ) -> Sequence[Any]:
        """Return ``x`` of ``x = right + feedback x`` between two fits.

        Args:
            pair: The fits.
            sights: What each unknown is about: a covariance, and whether a scale other than one is on it.
            feedback: Returns an entry of the matrix, which is not negative; None is zero.
            right: The right-hand side.
        """


class Cavity:
    """The recursion for one system of fits in one field.

    Args:
        system: The pooled fits; the tested one is the last.
        field: What to compute with.
    """

    def __init__(self, system: PooledSystem, field: Field) -> None:
        self.system, self.field = system, field
        self.own = [field.own(k) for k in range(len(system.fits))]
        self.designs = designs_of(system)
        self._numbers: dict[Expr, Any] = {}
        self._per_design: dict[tuple[int, int], tuple[Any, Any]] = {}
        self._row: dict[tuple[int, int], Row] = {}
        self._seen = {k: [D for D in self.designs if k in D.place] for k in range(len(system.fits))}
        self._overlaps: dict[tuple[Any, ...], Any] = {}
        self.responses = _Responses(self)
        self.means = self._means()
        self.learned = self._learned()

    def error(self) -> Any:
        """Return the whole of what the system asks for; None is zero."""
        return _SecondMoments(self, _Both(self)).measured()

    def bias(self) -> Any:
        """Return the part of it that the true coefficients make; None is zero."""
        return _SecondMoments(self, _Truth(self)).measured()

    def variance(self) -> Any:
        """Return the part that the label noises make; None is zero."""
        return _SecondMoments(self, _Noise(self)).measured()

    def _means(self) -> list[dict[str, Any]]:
        """Return ``F_k`` by truth, functions of the eigenvalues: the mean error of each fit is ``-F_k w0``, less the offsets'."""
        out: list[dict[str, Any]] = [{} for _ in self.own]
        for truth in (TRUTH.name, *self.system.others):
            own_truth = truth == TRUTH.name
            for k, own in enumerate(self.own):
                drifts = (
                    _product(
                        self.mass(k, D),
                        self.force(k, D),
                        total(
                            _product(self.responses.L[D.inputs].get((k, m)), self.row(m, D).unlabelled.get(truth))
                            for m in D.place
                        ),
                    )
                    for D in self.common(k)
                )
                earlier = (_product(-1, self.responses.G.get((k, m)), out[m].get(truth)) for m in range(k))
                along = (self.responses.P.get((k, m)) for m in range(k) if own_truth)
                moved = _product(own.kernel, total([*drifts, *earlier, *along]))
                mean = total([own.kept if own_truth else None, moved])
                if mean is not None:
                    out[k][truth] = self.field.named("F", (k,) if own_truth else (k, truth), mean)
        return out

    def _learned(self) -> list[dict[str, Any]]:
        """Return ``1 - F_k`` without a difference, and minus those of the offsets, where some fit sees features."""
        out: list[dict[str, Any]] = [{} for _ in self.own]
        if not any(f.features for f in self.system.fits):
            return out
        for k, own in enumerate(self.own):
            drifts = (
                _product(
                    -1,
                    self.mass(k, D),
                    self.force(k, D),
                    self.responses.L[D.inputs].get((k, m)),
                    self.row(m, D).unlabelled.get(TRUTH.name),
                )
                for D in self.common(k)
                for m in D.place
            )
            labelled = (self.responses.design.get((k, m)) for m in range(k))
            earlier = (_product(-1, self.responses.G.get((k, m)), out[m][TRUTH.name]) for m in range(k))
            moved = _product(own.kernel, total([*labelled, *drifts, *earlier]))
            out[k] = {truth: -1 * F for truth, F in self.means[k].items() if truth != TRUTH.name}
            out[k][TRUTH.name] = self.field.named("M", (k,), total([self.taught(k), moved]))
        return out

    def taught(self, k: int) -> Any:
        """Return ``J_kk``, the share of each direction that a fit on its own learns."""
        pulls = (self.mass(k, D) * self.response(k, D) * self.force(k, D) for D in self.common(k))
        return self.own[k].kernel * total(pulls)

    def features(self, k: int, other: int) -> Any:
        """Return the number of the features that two fits share, or None."""
        mine, theirs = self.system.fits[k].features, self.system.fits[other].features
        if mine is None or theirs is None or mine.drawn != theirs.drawn:
            return None
        return self.number(mine.m)

    def sharing(self, k: int, last: int) -> list[int]:
        """Return the fits up to one that see the same features as another."""
        return [m for m in range(last + 1) if self.features(k, m) is not None]

    # ------------------------------------------------------------------ parameters
    def number(self, e: Expr) -> Any:
        """Return a parameter."""
        if e not in self._numbers:
            self._numbers[e] = self.field.number(e)
        return self._numbers[e]

    def pooled(self, k: int, D: Design) -> PooledDesign:
        """Return how a fit sees a design."""
        return self.system.fits[k].designs[D.place[k]]

    def common(self, *fits: int) -> list[Design]:
        """Return the designs that a fit, or two, see."""
        return [D for D in self._seen[fits[0]] if fits[-1] in D.place]

    def row(self, k: int, D: Design) -> Row:
        """Return the residual of a fit on a design: one for the fit itself, minus the coefficient of each labeller."""
        if (k, D.inputs) not in self._row:
            self._row[k, D.inputs] = self._residual(self.pooled(k, D), k)
        return self._row[k, D.inputs]

    def deviation(self, x: PooledDesign) -> Row:
        """Return labels themselves as a residual."""
        return self._residual(x)

    def combination(self, x: Combination) -> Row:
        """Return what a combination of models misses of the truth as a residual without labels."""
        surplus = unlabelled(1 - x.truth, x.fits)
        t = {} if surplus == 0 else {TRUTH.name: -1 * self.number(surplus)}
        return Row(tuple((at, 1 if c == 1 else self.number(c)) for at, c in x.fits), t)

    def _residual(self, x: PooledDesign, *fit: int) -> Row:
        surplus = unlabelled(len(fit) - x.truth, x.labellers)
        weights = (*((k, 1) for k in fit), *((at, -1 * self.number(c)) for at, c in x.labellers))
        t = {} if surplus == 0 else {TRUTH.name: self.number(surplus)}
        return Row(weights, t | {name: -1 * self.number(c) for name, c in x.offsets}, x.noises)

    def response(self, k: int, D: Design) -> Any:
        """Return ``L_kk``."""
        return self.own[k].response[D.place[k]]

    def left(self, k: int, D: Design) -> Any:
        """Return ``q_k``."""
        return self.own[k].left[D.place[k]]

    def reach(self, k: int, D: Design) -> Any:
        """Return ``rho_k``."""
        return self.own[k].reach[D.place[k]]

    def reaches(self, k: int, D: Design) -> bool:
        """Return whether ``rho_k`` is a function."""
        return not isinstance(self.reach(k, D), int)

    def force(self, k: int, D: Design) -> Any:
        """Return ``s rho_k``, what a residual does in each direction."""
        return self.field.eigenvalue(D.covariance) * self.reach(k, D)

    def mass(self, k: int, D: Design) -> Any:
        """Return ``m_k = a_k T / N_k``."""
        return self._shares(k, D)[0]

    def per_row(self, k: int, D: Design) -> Any:
        """Return ``a_k / N_k``."""
        return self._shares(k, D)[1]

    def _shares(self, k: int, D: Design) -> tuple[Any, Any]:
        if (k, D.inputs) not in self._per_design:
            x, N = self.pooled(k, D), self.system.fits[k].N
            self._per_design[k, D.inputs] = self.number(x.weight * x.T / N), self.number(x.weight / N)
        return self._per_design[k, D.inputs]

    def gain(self, k: int, other: int, D: Design) -> Any:
        r"""Return :math:`m_kL_{kk}L_{ll}a_l/N_l`, by which an unknown on a shared design acts on both fits."""
        return self.mass(k, D) * self.response(k, D) * (self.response(other, D) * self.per_row(other, D))

    def overlap(self, k: int, other: int, first: str, second: str, scaled: tuple[Any, Any]) -> Any:
        r"""Return :math:`\operatorname{tr}\Sigma_1\Sigma_2R_{kk}R_{ll}`, scaled by the ``rho`` of the two fits."""
        key = (k, other, *sorted((first, second)), *(isinstance(x, int) for x in scaled))
        if key not in self._overlaps:
            s = self.field.eigenvalue
            taken = (s(first) * self.own[k].kernel) * (s(second) * self.own[other].kernel)
            self._overlaps[key] = self.field.trace(taken * scaled[0] * scaled[1])
        return self._overlaps[key]


class _Responses:
    """The first moments, row by row to the left: ``R``, functions of the eigenvalues, and ``L`` of each design."""

    def __init__(self, cavity: Cavity) -> None:
        self.cavity = cavity
        self.R: dict[Pair, Any] = {}
        self.L: dict[int, dict[Pair, Any]] = {D.inputs: {} for D in cavity.designs}
        self.design: dict[Pair, Any] = {}  # G
        self.P: dict[Pair, Any] = {}
        self.G: dict[Pair, Any] = {}  # G + P
        self.J: dict[Pair, Any] = {}  # 1 - RP, without the difference, for fits on features
        self._theta: dict[int, dict[Pair, Any]] = {D.inputs: {} for D in cavity.designs}
        for k, own in enumerate(cavity.own):
            self.R[k, k] = own.kernel
            if own.penalty is not None:
                self.P[k, k], self.J[k, k] = own.penalty, cavity.taught(k)
            for D in cavity.common(k):
                self.L[D.inputs][k, k] = cavity.response(k, D)
            self._look(k, k, {})
            for other in reversed(range(k)):
                self._solve(k, other)

    def _solve(self, k: int, other: int) -> None:
        """Solve the response of a fit to the forces on an earlier one; they meet in designs and features that both see."""
        c, shared, m = self.cavity, self.cavity.common(k, other), self.cavity.features(k, other)
        before = {D.inputs: self._before(k, other, D) for D in shared}
        push = self._push(k, other, before)
        start = self._response(k, other, push)
        drag = None if m is None else self._drag(k, other, push)
        if start is None and drag is None:
            return
        sights = list(dict.fromkeys(self._sight(other, D) for D in shared))
        looks = {self._sight(other, D): D for D in shared}
        if m is not None:
            sights.append(FEATURES)

        def feedback(i: int, j: int) -> Any:
            if sights[i] == FEATURES:
                return self._feature_feedback(k, other, None if sights[j] == FEATURES else sights[j]) / m
            seen = looks[sights[i]]
            if sights[j] == FEATURES:
                return c.field.trace(c.force(other, seen) * (c.own[k].kernel * c.own[other].kernel))
            return total(
                c.gain(k, other, D)
                * c.overlap(k, other, seen.covariance, D.covariance, (c.reach(k, D), c.reach(other, seen)))
                for D in shared
                if self._sight(other, D) == sights[j]
            )

        right = [0 if start is None else c.field.trace(c.force(other, looks[x]) * start) for x in looks]
        if m is not None:
            right.append(0 if drag is None else drag / m)
        found = c.field.coupled((k, other), sights, feedback, right) if sights else ()
        solved = {x: c.field.named("t", (k, other, *x), value) for x, value in zip(sights, found, strict=True)}
        if m is not None:
            self.P[k, other] = -1 * solved.pop(FEATURES)
        entries = {}
        for D in shared:
            theta = self._theta[D.inputs][k, other] = c.per_row(other, D) * solved[self._sight(other, D)]
            taken = -1 * c.response(k, D) * (theta * c.response(other, D))
            entries[D.inputs] = c.field.named("L", (k, other, D.inputs), total([before[D.inputs], taken]))
            self.L[D.inputs][k, other] = entries[D.inputs]
        push = self._push(k, other, entries, name=True)
        if push is not None:
            self.design[k, other] = push
        push = total([push, self.P.get((k, other))])
        if push is not None:
            self.G[k, other] = push
        self.R[k, other] = c.field.named("R", (k, other), self._response(k, other, push))
        self._keep(k, other)
        self._look(k, other, solved)

    def _keep(self, k: int, other: int) -> None:
        """Keep what the noise of an earlier fit on features needs of the response to it."""
        learned = None if (other, other) not in self.P else self._learned(k, other, self.design.get((k, other)))
        if learned is not None:
            self.J[k, other] = self.cavity.field.named("J", (k, other), learned)

    def _push(self, k: int, other: int, entries: Mapping[int, Any], *, name: bool = False) -> Any:
        """Return ``G_kl``, given the entries ``L_kl`` of the designs that both fits see."""
        c, sums = self.cavity, dict[Any, list[tuple[Design, Any]]]()
        for D in c.common(k):
            whole = _product(c.mass(k, D), self._combined(k, other, D, entries.get(D.inputs)))
            if whole is not None:
                sums.setdefault(self._sight(k, D), []).append((D, whole))
        out = []
        for sight, terms in sums.items():
            g = total(x for _, x in terms)
            out.append((c.field.named("g", (k, other, *sight), g) if name else g) * c.force(k, terms[0][0]))
        return total(out)

    def _response(self, k: int, other: int, push: Any) -> Any:
        """Return ``R_kl``, given ``G_kl``."""
        between = (_product(self.G.get((k, m)), self.R.get((m, other))) for m in range(other + 1, k))
        moved = total([*between, _product(push, self.R[other, other])])
        return None if moved is None else -1 * self.cavity.own[k].kernel * moved

    def _learned(self, k: int, other: int, push: Any) -> Any:
        """Return ``J_kl``, of ``(P + G)J = G``, given ``G_kl`` of the designs and what is known of ``P_kl``."""
        c, J = self.cavity, self.J
        apart = (_product(-1, self.G.get((k, b)), J.get((b, other))) for b in range(other + 1, k))
        shared = _product(-1, self.P.get((k, other)), J[other, other])
        return _product(c.own[k].kernel, total([_product(push, c.own[other].kept), shared, *apart]))

    def _drag(self, k: int, other: int, push: Any) -> Any:
        """Return minus ``tr PJ`` between two fits but for what the entry of ``P`` between them does."""
        c, P = self.cavity, self.P
        between = (_product(P[k, a], self.J.get((a, other))) for a in c.sharing(k, k - 1) if a > other and (k, a) in P)
        whole = total([_product(P[k, k], self._learned(k, other, push)), *between])
        return None if whole is None else -1 * c.field.trace(whole)

    def _feature_feedback(self, k: int, other: int, sight: tuple[str, bool] | None) -> Any:
        """Return what minus the entry of ``P`` between two fits, or an unknown on shared designs, adds to ``tr PRP``."""
        c = self.cavity
        if sight is None:
            return c.field.trace(c.taught(k) * c.taught(other))
        return total(
            c.gain(k, other, D) * c.field.trace(c.force(k, D) * (c.own[k].kept * c.own[other].kept))
            for D in c.common(k, other)
            if self._sight(other, D) == sight
        )

    def _sight(self, other: int, D: Design) -> tuple[str, bool]:
        return D.covariance, self.cavity.reaches(other, D)

    def _look(self, k: int, other: int, solved: Mapping[Any, Any]) -> None:
        """Record what the rows of each design of the earlier fit see of a response."""
        c, traces = self.cavity, dict(solved)
        for D in c.common(other):
            sight = self._sight(other, D)
            if sight not in traces:
                seen = c.field.trace(c.force(other, D) * self.R[k, other])
                traces[sight] = c.field.named("t", (k, other, *sight), seen)
            self._theta[D.inputs][k, other] = c.per_row(other, D) * traces[sight]

    def _before(self, k: int, other: int, D: Design) -> Any:
        """Return ``L`` but for the response that is to be solved."""
        c, L, theta = self.cavity, self.L[D.inputs], self._theta[D.inputs]
        taken = (
            _product(weight, theta.get((at, m)), L.get((m, other)))
            for m in D.place
            if other <= m < k
            for at, weight in c.row(k, D).weights
        )
        return _product(-1 * c.response(k, D), total(taken))

    def moved(self, row: Row, other: int, D: Design) -> Any:
        """Return the entry of ``L`` of labels that no fit sees, for an earlier fit."""
        L, theta = self.L[D.inputs], self._theta[D.inputs]
        taken = total(
            _product(weight, theta.get((at, m)), L.get((m, other)))
            for m in D.place
            if m >= other
            for at, weight in row.weights
        )
        return _product(-1, taken)

    def _combined(self, k: int, other: int, D: Design, entry: Any) -> Any:
        """Return ``(LC)_kl``, given the entry ``L_kl`` if the earlier fit sees the design."""
        L = self.L[D.inputs]
        terms = (
            _product(entry if m == other else L.get((k, m)), weight)
            for m in D.place
            if other <= m <= k
            for at, weight in self.cavity.row(m, D).weights
            if at == other
        )
        return total(terms)


class _Truth:
    """The true coefficients as the source of the errors."""

    letter = "B"

    def __init__(self, cavity: Cavity) -> None:
        self._cavity = cavity
        self._forms: dict[tuple[Any, ...], Any] = {}

    def spread(self, k: int, other: int, covariance: str) -> Any:
        """Return what the mean errors give."""
        return self._form(covariance, *sorted((k, other)))

    def learned(self, k: int, other: int) -> Any:
        """Return what the coefficients that two fits learn give to their noise from features."""
        learned = self._cavity.learned
        return self._between(1, learned[k], learned[other])

    def drawn(self, a: Row, b: Row, covariance: str) -> Any:
        """Return what labels that do not add up to one give to the covariance of two residuals."""
        out = []
        for row, other in ((a, b), (b, a)):
            for truth, t in other.unlabelled.items():
                seen = ((weight, self._form(covariance, at, truth)) for at, weight in row.weights)
                out += [-1 * weight * t * x for weight, x in seen if x is not None]
        both = (
            x * y * self._form(covariance, pair_of(u, v))
            for u, x in a.unlabelled.items()
            for v, y in b.unlabelled.items()
        )
        return total([*out, *both])

    def _form(self, covariance: str, *about: Any) -> Any:
        """Return a form of two truths, of a fit's mean error and a truth, or of two mean errors."""
        key = (covariance, *about)
        if key not in self._forms:
            s, means = self._cavity.field.eigenvalue(covariance), self._cavity.means
            if len(about) == 1:
                self._forms[key] = self._cavity.field.form(s, about[0])
            else:
                one, two = ({x: 1} if isinstance(x, str) else means[x] for x in about)
                self._forms[key] = self._between(s, one, two)
        return self._forms[key]

    def _between(self, s: Any, one: Mapping[str, Any], two: Mapping[str, Any]) -> Any:
        """Return the form of two combinations of the truths; each pair of truths is taken once."""
        sums: dict[Truths, Any] = {}
        for u, f in one.items():
            for v, g in two.items():
                sums[pair_of(u, v)] = total([sums.get(pair_of(u, v)), s * f * g])
        return total(self._cavity.field.form(f, pair) for pair, f in sums.items())


class _Noise:
    """The label noises as the source."""

    letter = "V"

    def __init__(self, cavity: Cavity) -> None:
        self._cavity = cavity

    def spread(self, k: int, other: int, covariance: str) -> Any:
        """Return nothing: no direction of the errors is preferred."""

    def learned(self, k: int, other: int) -> Any:
        """Return nothing, for the same reason."""

    def drawn(self, a: Row, b: Row, covariance: str) -> Any:  # noqa: ARG002 - noise has no direction
        """Return the covariance of the label noises."""
        number = self._cavity.number
        return total(number(x.share * y.share * x.sigma**2) for x in a.noises for y in b.noises if x.sample == y.sample)


class _Both(_Truth):
    """The true coefficients and the label noises together."""

    letter = "Q"

    def __init__(self, cavity: Cavity) -> None:
        super().__init__(cavity)
        self._noise = _Noise(cavity)

    def drawn(self, a: Row, b: Row, covariance: str) -> Any:
        """Return what both give to the covariance of two residuals."""
        return total([super().drawn(a, b, covariance), self._noise.drawn(a, b, covariance)])


class _SecondMoments:
    """The second moments that one source makes, entry by entry."""

    def __init__(self, cavity: Cavity, source: _Truth | _Noise) -> None:
        self.cavity, self.source = cavity, source
        self.Q: dict[str, dict[Pair, Any]] = {name: {} for name in cavity.system.covariances}
        self._residual: dict[int, dict[Pair, Any]] = {D.inputs: {} for D in cavity.designs}  # Cov of xi - C g - t x'w0
        self._left: dict[int, dict[Pair, Any]] = {D.inputs: {} for D in cavity.designs}  # L times it
        self._H: dict[Pair, Any] = {}
        self._RH: dict[Pair, Any] = {}
        self._zeta: dict[Pair, Any] = {}
        J = cavity.responses.J
        missed = {(k, a): cavity.own[k].kept if k == a else -1 * x for (k, a), x in J.items()}  # RP
        self._missed, self._taught = _Noisy(missed, self._zeta), _Noisy(J, self._zeta)
        for k in range(len(cavity.own)):
            for other in range(k + 1):
                self._solve(k, other)

    def measured(self) -> Any:
        """Return what the system asks for."""
        asked = self.cavity.system.measured
        if isinstance(asked, Combination):
            row = self.cavity.combination(asked)
            return self._covariance(row, row, self.cavity.system.test_covariance)
        return self._cross_validated(asked) if asked.validated else self._residuals(asked)

    def _residuals(self, asked: Residuals) -> Any:
        """Return the mean square of the residuals of a fit."""
        c, k = self.cavity, asked.fit
        fitted = (_product(c.mass(k, D), c.left(k, D), c.left(k, D), self._seen(k, D)) for D in c.common(k))
        return total([*fitted, *(self._deviation(x, k) for x in asked.deviations)])

    def _cross_validated(self, asked: Residuals) -> Any:
        r"""Return their mean square over :math:`(1-\mathrm{df}/N)^2`, where the degrees of freedom of a row are ``1 - q L``.

        A fit leaves the same share of the residuals on all its designs unless it has no ridge and interpolates some of them:
        with no deviations the share cancels, and what is left holds without a ridge too.
        """
        c, k = self.cavity, asked.fit
        N = c.number(c.system.fits[k].N)
        designs = [(D, c.number(c.pooled(k, D).T)) for D in c.common(k)]
        if not asked.deviations and not any(c.reaches(k, D) for D, _ in designs):
            whole = total(_product(c.mass(k, D), self._seen(k, D)) for D, _ in designs)
            free = total(T / N * c.response(k, D) for D, T in designs)
        else:
            whole = self._residuals(asked)
            rows = sum(c.pooled(k, D).T for D, _ in designs)
            again = c.system.fits[k].N - rows  # rows counted again, by samples on the same inputs
            seen = (T / N * c.left(k, D) * c.response(k, D) for D, T in designs)
            free = total([*seen, None if again == 0 else c.number(again) / N])
        return _product(whole, 1 / free**2)

    def _seen(self, k: int, D: Design) -> Any:
        """Return the mean square ``V_kk`` of a fit on a design."""
        L, left = self.cavity.responses.L[D.inputs], self._left[D.inputs]
        return total(_product(left.get((k, m)), L.get((k, m))) for m in D.place if m <= k)

    def _deviation(self, x: PooledDesign, k: int) -> Any:
        """Return the share of the mean square that labels on a design of a fit have around those that it fits."""
        c = self.cavity
        D = next(D for D in c.designs if D.inputs == x.inputs)
        row, residual = c.deviation(x), self._residual[x.inputs]
        moved = {m: L for m in D.place if (L := c.responses.moved(row, m, D)) is not None}
        single = (_product(2, L, self._covariance(row, c.row(m, D), x.covariance)) for m, L in moved.items())
        both = (_product(a, b, self._entry(residual, m, n)) for m, a in moved.items() for n, b in moved.items())
        mean_square = total([self._covariance(row, row, x.covariance), *single, *both])
        return _product(c.number(x.weight * x.T / c.system.fits[k].N), mean_square)

    def _covariance(self, a: Row, b: Row, covariance: str) -> Any:
        """Return the covariance of two residuals of a row that no fit has seen."""
        seen = (_product(x, y, self._entry(self.Q[covariance], i, j)) for i, x in a.weights for j, y in b.weights)
        return total([self.source.drawn(a, b, covariance), *seen])

    def _solve(self, k: int, other: int) -> None:
        c, R, shared = self.cavity, self.cavity.responses.R, self.cavity.common(k, other)
        m = c.features(k, other)
        drawn = {D.inputs: self._drawn(k, other, D) for D in shared}
        left = {D.inputs: self._times_response(k, other, D, drawn[D.inputs]) for D in shared}
        rows = {sight: c.field.named("b", (k, other, *sight), x) for sight, x in self._rows(k, other, left).items()}
        start = total([*self._pushed(k, other), _product(R[k, k], self._pull(k, other, rows))])
        before = [_product(self._RH.get((k, m)), R.get((other, m))) for m in range(other)]
        moved = total([*before, _product(start, R[other, other])])
        spread = total([moved, self._missed.known(k, other)])
        names = list(dict.fromkeys(D.covariance for D in shared))
        right = {x: self._right(k, other, x, spread) for x in self.Q}
        if m is not None:
            learned = total([moved, self._taught.known(k, other)])
            scattered = total([self.source.learned(k, other), None if learned is None else c.field.trace(learned)])
            right[FEATURES[0]] = _product(scattered, 1 / m)
            names.append(FEATURES[0])
        if all(x is None for x in right.values()):
            return

        def feedback(i: int, j: int) -> Any:
            return self._feedback(k, other, names[i], names[j])

        known = [right[x] if right[x] is not None else 0 for x in names]
        sights = [FEATURES if x == FEATURES[0] else (x, False) for x in names]
        found = c.field.coupled((k, other), sights, feedback, known) if names else ()
        solved = {
            x: c.field.named("z" if x == FEATURES[0] else self.source.letter, (k, other, x), y)
            for x, y in zip(names, found, strict=True)
        }
        for x in self.Q:
            back = (_product(self._feedback(k, other, x, y), value) for y, value in solved.items())
            value = solved[x] if x in solved else total([right[x], *back])
            if value is not None:
                self.Q[x][k, other] = solved.get(x, c.field.named(self.source.letter, (k, other, x), value))
        for D in shared:
            seen = solved[D.covariance]
            value = total([drawn[D.inputs], seen])
            self._residual[D.inputs][k, other] = c.field.named("U", (k, other, D.inputs), value)
            value = total([left[D.inputs], _product(c.response(k, D), seen)])
            self._left[D.inputs][k, other] = c.field.named("Y", (k, other, D.inputs), value)
            sight = self._sight(k, other, D)
            rows[sight] = total([rows.get(sight), c.gain(k, other, D) * seen])
        rows = {sight: c.field.named("h", (k, other, *sight), x) for sight, x in rows.items()}
        if m is not None:
            self._zeta[k, other] = solved[FEATURES[0]]
        for noisy in (self._missed, self._taught):
            noisy.close(k, other)
        pull = self._pull(k, other, rows)
        if pull is not None:
            self._H[k, other] = pull
        pushed = total([*self._pushed(k, other), _product(R[k, k], pull)])
        if pushed is not None:
            self._RH[k, other] = pushed

    def _pushed(self, k: int, other: int) -> Iterator[Any]:
        """Return the terms of ``RH`` that earlier fits make."""
        for m in range(k):
            yield _product(self.cavity.responses.R.get((k, m)), self._entry(self._H, m, other))

    def _drawn(self, k: int, other: int, D: Design) -> Any:
        """Return the covariance of two rows' residuals before the response, but for the entry of the two fits."""
        a, b = self.cavity.row(k, D), self.cavity.row(other, D)
        seen = (
            _product(x, y, self._entry(self.Q[D.covariance], i, j))
            for i, x in a.weights
            for j, y in b.weights
            if (i, j) != (k, other)
        )
        return total([self.source.drawn(a, b, D.covariance), *seen])

    def _times_response(self, k: int, other: int, D: Design, entry: Any) -> Any:
        L, residual = self.cavity.responses.L[D.inputs], self._residual[D.inputs]
        before = (_product(L.get((k, m)), self._entry(residual, m, other)) for m in D.place if m < k)
        return total([*before, _product(L[k, k], entry)])

    def _rows(self, k: int, other: int, left: Mapping[int, Any]) -> dict[Any, Any]:
        """Return ``m_k a_l / N_l V_kl`` summed over the designs that are seen alike."""
        c = self.cavity
        out: dict[Any, Any] = {}
        for D in c.common(k, other):
            L = c.responses.L[D.inputs]
            before = (_product(self._left[D.inputs].get((k, m)), L.get((other, m))) for m in D.place if m < other)
            V = total([*before, _product(left[D.inputs], L[other, other])])
            if V is not None:
                sight = self._sight(k, other, D)
                out[sight] = total([out.get(sight), c.mass(k, D) * c.per_row(other, D) * V])
        return out

    def _sight(self, k: int, other: int, D: Design) -> tuple[str, bool, bool]:
        return D.covariance, self.cavity.reaches(k, D), self.cavity.reaches(other, D)

    def _pull(self, k: int, other: int, rows: Mapping[Any, Any]) -> Any:
        """Return ``H`` from the covariances of the residuals."""
        c = self.cavity
        acts = {self._sight(k, other, D): c.force(k, D) * c.reach(other, D) for D in c.common(k, other)}
        return total(x * acts[sight] for sight, x in rows.items())

    def _right(self, k: int, other: int, covariance: str, spread: Any) -> Any:
        c = self.cavity
        seen = None if spread is None else c.field.trace(c.field.eigenvalue(covariance) * spread)
        return total([self.source.spread(k, other, covariance), seen])

    def _feedback(self, k: int, other: int, covariance: str, of: str) -> Any:
        """Return the trace with a covariance that a unit of the entry with another one makes; alike for ``zeta``."""
        c, own = self.cavity, self.cavity.own
        if FEATURES[0] in {covariance, of}:
            if covariance != of and covariance == FEATURES[0]:
                seen = total(
                    c.gain(k, other, D)
                    * c.field.trace((c.force(k, D) * c.reach(other, D)) * (own[k].kernel * own[other].kernel))
                    for D in c.common(k, other)
                    if D.covariance == of
                )
                return _product(seen, 1 / c.features(k, other))
            if covariance != of:
                return c.field.trace(c.field.eigenvalue(covariance) * (own[k].kept * own[other].kept))
            return c.field.trace(c.taught(k) * c.taught(other)) / c.features(k, other)
        return total(
            c.gain(k, other, D) * c.overlap(k, other, covariance, of, (c.reach(k, D), c.reach(other, D)))
            for D in c.common(k, other)
            if D.covariance == of
        )

    @staticmethod
    def _entry(entries: Mapping[Pair, Any], k: int, other: int) -> Any:
        """Return an entry of a symmetric matrix."""
        return entries.get((max(k, other), min(k, other)))


class _Noisy:
    r"""A matrix over the fits times the noise of features on both sides, :math:`N\zeta N^\top`, entry by entry."""

    def __init__(self, matrix: Mapping[Pair, Any], zeta: Mapping[Pair, Any]) -> None:
        self._matrix, self._zeta = matrix, zeta
        self._left: dict[Pair, Any] = {}  # N zeta

    def known(self, k: int, other: int) -> Any:
        """Return an entry but for what the entry of ``zeta`` between the two fits does."""
        N = self._matrix
        before = (_product(self._left.get((k, b)), N.get((other, b))) for b in range(other))
        return total([*before, _product(self._times_zeta(k, other, k - 1), N.get((other, other)))])

    def close(self, k: int, other: int) -> None:
        """Take in the entry of ``zeta`` between two fits, the last one of a column of the product."""
        whole = self._times_zeta(k, other, k)
        if whole is not None:
            self._left[k, other] = whole

    def _times_zeta(self, k: int, other: int, last: int) -> Any:
        N, zeta = self._matrix, self._zeta
        return total(_product(N.get((k, a)), zeta.get((max(a, other), min(a, other)))) for a in range(last + 1))


def unlabelled(share: Expr, labellers: Iterable[tuple[int, Expr]]) -> Expr:
    """Return what a share of the truth is less the coefficients of fits."""
    return share - sum(c for _, c in labellers)


def total(terms: Iterable[Any]) -> Any:
    """Return the sum of the terms that are not None; None if there are none."""
    out = None
    for x in terms:
        if x is not None:
            out = x if out is None else out + x
    return out


def _product(*factors: Any) -> Any:
    """Return the product; None if a factor is."""
    out = None
    for x in factors:
        if x is None:
            return None
        out = x if out is None else out * x
    return out
