r"""The mean-labeller theorem: every pipeline whose samples have inputs of their own that one fit uses.

A fit that pools rows with labellers :math:`w_i` in shares :math:`p_i=T_i/N` is, for the asymptotic error, a fit on rows
labelled by :math:`\bar w=\sum_ip_iw_i` with noise variance
:math:`\tau^2=\sum_ip_i\sigma_i^2+\sum_ip_i\|w_i-\bar w\|_\Sigma^2`. Its inputs are
independent of all labellers, so the errors :math:`e_k=\hat w_k-w_0` have

.. math:: \mathbb Ee_k=-\ell_k(\Sigma)w_0,\qquad
   \operatorname{Cov}(e_k,e_l)\simeq\sum_jx_j\,\gamma_k^j\gamma_l^j(\Sigma)\,g_j(\Sigma),\qquad g_j=\Sigma(\Sigma+\kappa_j)^{-2},

with :math:`\ell_k=r_k\bar\ell+\kappa_k(\Sigma+\kappa_k)^{-1}`, gains :math:`\gamma_k^k=1`,
:math:`\gamma_k^j=r_k\bar\gamma^j`, and the fluctuation that fit k adds itself,
:math:`x_k=(\kappa_k^2\,\mathbb E[\bar w^\top g_k\bar w]+\tau^2)/(T_k-\mathrm{df}_2(\kappa_k))`: the generation operator applied
forward. All terms are squares, and nothing cancels. The same recursion runs on SymPy expressions and on arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Expr, S

from collapse_theory.algebra.effective import ResidualDegrees
from collapse_theory.algebra.integrals import QuadraticForm, SpectralTrace
from collapse_theory.derive.operator import Generation
from collapse_theory.derive.pooled import PooledDesign, PooledSystem
from collapse_theory.derive.pooled_scalars import SystemScalar
from collapse_theory.symbols import eigenvalue, ordered

__all__ = [
    "Labels",
    "PooledBias",
    "PooledStage",
    "PooledVariance",
    "forward_risk",
    "pooled_risk",
    "pooled_scalars",
    "pooled_stages",
]


@dataclass(frozen=True)
class Labels:
    """The labels of one sample of a fit.

    Attributes:
        share: Rows over all rows of the fit.
        noise: Variance of the label noise.
        truth: Coefficient of the truth.
        fits: Coefficient of each earlier fit, by its place among the stages.
    """

    share: Any
    noise: Any
    truth: Any
    fits: Mapping[int, Any]

    @property
    def missing(self) -> Any:
        """One minus the sum of the coefficients: the share of the signal that no labeller carries."""
        return 1 - self.truth - sum(self.fits.values())


@dataclass(frozen=True)
class PooledStage:
    """One fit: rows, ridge and labels of each pooled sample."""

    T: Any
    lam: Any
    labels: tuple[Labels, ...]


def pooled_stages(system: PooledSystem) -> tuple[PooledStage, ...]:
    """Return the stages of a system that :func:`collapse_theory.describe.recognise.own_inputs` accepts."""
    return tuple(
        PooledStage(f.N, f.ridge / f.designs[0].weight, tuple(_labels(design, f.N) for design in f.designs))
        for f in system.fits
    )


def _labels(design: PooledDesign, rows: Expr) -> Labels:
    variance = sum((e.share**2 * e.sigma**2 for e in design.noises), S.Zero)
    return Labels(design.T / rows, variance, design.truth, dict(design.labellers))


class PooledBias(SystemScalar):
    """The bias of a system that the mean-labeller theorem covers, unexpanded."""

    def doit(self, **_hints: Any) -> Expr:
        """Return the explicit expression."""
        return pooled_risk(self.stages)[0]

    @property
    def stages(self) -> tuple[PooledStage, ...]:
        """The fits."""
        return pooled_stages(self.system)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        arguments = ", ".join(printer.doprint(x) for x in ordered(self.free_symbols))
        head = rf"\mathrm{{{self.part}}}_{{{len(self.system.fits)}}}" + ("" if exp is None else f"^{{{exp}}}")
        return rf"{head}\left({arguments}\right)" if arguments else head

    part = "bias"


class PooledVariance(PooledBias):
    """The variance of a system that the mean-labeller theorem covers, unexpanded."""

    part = "variance"

    def doit(self, **_hints: Any) -> Expr:
        """Return the explicit expression."""
        return pooled_risk(self.stages)[1]


_EXPLICIT = 3  # fits beyond which the unfolded formula is no longer something to read


def pooled_scalars(system: PooledSystem) -> tuple[Expr, Expr]:
    """Return bias and variance of the tested fit: unfolded if the fits are few, as opaque scalars otherwise."""
    if len(system.fits) <= _EXPLICIT:
        return pooled_risk(pooled_stages(system))
    return PooledBias(*system.args()), PooledVariance(*system.args())


def forward_risk(
    stages: Sequence[PooledStage],
    kappas: Sequence[Any],
    residuals: Sequence[Any],
    s: Any,
    trace: Callable[[Any], Any],
    form: Callable[[Any], Any],
) -> tuple[Any, Any]:
    """Return bias and variance of the last stage, in whatever arithmetic the arguments are of.

    Args:
        stages: Fits in order.
        kappas: Effective ridge of each.
        residuals: Residual degrees of freedom of each.
        s: The eigenvalue, as a symbol or as nodes.
        trace: Integral of a function of ``s`` against the counting measure.
        form: Integral against the target energies.
    """
    kept: list[Any] = []  # E w_k = kept_k(Sigma) w0
    lost: list[Any] = []
    gains: list[dict[int, Any]] = []
    added: list[tuple[Any, Any]] = []  # x_k, split into what the target and what the noises contribute

    def spread(weight: Any, gain: Mapping[int, Any]) -> tuple[Any, Any]:
        """Return E of the weighted square of a combination's fluctuation, from target and noises."""
        masses = [(added[j], trace(weight * s / (s + kappas[j]) ** 2 * y**2)) for j, y in gain.items()]
        return sum(x[0] * m for x, m in masses), sum(x[1] * m for x, m in masses)

    for k, stage in enumerate(stages):
        c = kappas[k] / (s + kappas[k])
        r = s / (s + kappas[k])
        each = [_labeller(labels, kept, lost, gains) for labels in stage.labels]
        shares = [labels.share for labels in stage.labels]
        mean_kept, mean_lost, mean_gain = _mean(shares, each)
        g = s / (s + kappas[k]) ** 2
        wobble = spread(g, mean_gain)
        target = kappas[k] ** 2 * (form(g * mean_kept**2) + wobble[0])
        noise = kappas[k] ** 2 * wobble[1] + sum(
            p * labels.noise for p, labels in zip(shares, stage.labels, strict=True)
        )
        if len(each) > 1:  # labellers that disagree are noise
            for p, (a, _, gain) in zip(shares, each, strict=True):
                apart = spread(s, _difference(gain, mean_gain))
                target, noise = target + p * (form(s * (a - mean_kept) ** 2) + apart[0]), noise + p * apart[1]
        added.append((target / residuals[k], noise / residuals[k]))
        kept.append(r * mean_kept)
        lost.append(r * mean_lost + c)
        gains.append({**{j: r * y for j, y in mean_gain.items()}, k: 1})
    bias, variance = spread(s, gains[-1])
    return form(s * lost[-1] ** 2) + bias, variance


Combination = tuple[Any, Any, dict[int, Any]]


def _labeller(labels: Labels, kept: list[Any], lost: list[Any], gains: list[dict[int, Any]]) -> Combination:
    a, b = labels.truth, labels.missing
    gain: dict[int, Any] = {}
    for m, coefficient in labels.fits.items():
        a, b = a + coefficient * kept[m], b + coefficient * lost[m]
        for j, y in gains[m].items():
            gain[j] = gain.get(j, 0) + coefficient * y
    return a, b, gain


def _mean(shares: Sequence[Any], each: Sequence[Combination]) -> Combination:
    gain: dict[int, Any] = {}
    for p, (_, _, one) in zip(shares, each, strict=True):
        for j, y in one.items():
            gain[j] = gain.get(j, 0) + p * y
    return (
        sum(p * a for p, (a, _, _) in zip(shares, each, strict=True)),
        sum(p * b for p, (_, b, _) in zip(shares, each, strict=True)),
        gain,
    )


def _difference(a: Mapping[int, Any], b: Mapping[int, Any]) -> dict[int, Any]:
    return {j: a.get(j, 0) - b.get(j, 0) for j in sorted({*a, *b})}


def pooled_risk(stages: Sequence[PooledStage]) -> tuple[Expr, Expr]:
    """Return bias and variance of the last stage as explicit expressions.

    >>> from collapse_theory.derive.operator import chain_risk
    >>> from collapse_theory.symbols import T, lam, sigma
    >>> stage = PooledStage(T, lam, (Labels(S.One, sigma**2, S.One, {}),))
    >>> pooled_risk([stage])[1] == chain_risk([Generation(T, lam, sigma)])[1]
    True
    """
    return forward_risk(
        stages,
        [Generation(stage.T, stage.lam, S.Zero).kappa for stage in stages],
        [ResidualDegrees(stage.T, stage.lam) for stage in stages],
        eigenvalue,
        SpectralTrace,
        QuadraticForm,
    )
