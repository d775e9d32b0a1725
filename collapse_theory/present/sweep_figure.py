"""An error over one of its arguments as a picture: theory as lines, simulations as points with error bars."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from collapse_theory.core.arguments import instance, word
from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import flag
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.present.figures import axis_name, colours, logarithmic
from collapse_theory.present.picture import Picture
from collapse_theory.study.sweep import Runs, axes_of, simulated, theory_on

__all__ = ["plot"]

_RIDGES = np.geomspace(1e-4, 10, 81)
_ROUNDS = np.arange(1, 11)
_COUNTED = 20  # whole numbers, up to so many, have a dot each
_DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))


def plot(
    formula: ErrorFormula,
    over: str,
    *,
    spectrum: Any = None,
    target: Any = None,
    test_noise: Any = None,
    terms: bool = False,
    trials: int | None = None,
    points: int = 8,
    seed: int = 0,
    jobs: int = 1,
    checkpoint: str | os.PathLike[str] | None = None,
    ax: Axes | None = None,
    **values: Any,
) -> Any:
    """Return the picture of a test error over one argument.

    Axes are logarithmic where their values span more than a decade. Error bars are two standard errors.

    Args:
        formula: A theorem's ``error`` or a result of ``ct.test_error``.
        over: The argument on the horizontal axis.
        spectrum: Eigenvalues of the input covariance.
        target: Energies of the true coefficients.
        test_noise: Standard deviation of the test point's label noise; its square is added to the theory.
        terms: Draw the terms too, as broken lines.
        trials: Simulate so many runs at some of the points.
        points: How many points of each curve are simulated.
        seed: Seed of the simulations.
        jobs: Number of workers.
        checkpoint: Folder that keeps finished trials.
        ax: Matplotlib axes to draw into; a picture of its own if None.
        **values: By name a number, or for ``over`` and at most one other argument a list: one curve per value of the other. A
            ridge without a list goes from 1e-4 to 10, ``n`` from 1 to 10.

    Returns:
        The figure.

    Raises:
        DomainError: If there is no list for ``over``, there are more lists, or as :func:`collapse_theory.study.sweep.sweep` does.

    >>> import collapse_theory as ct
    >>> figure = ct.catalog["ridge-clean"].error.plot(
    ...     "lam", spectrum=ct.Isotropic(20), target=ct.RandomTarget(), T=[30, 60], sigma=0.5)
    >>> figure.axes[0].get_xscale(), len(figure.axes[0].lines)
    ('log', 2)
    """
    instance(formula, ErrorFormula, "formula", "pass a theorem's error or a result of ct.test_error", DomainError)
    symbol = formula.symbol(word(over, "over", DomainError))
    if over not in values:
        if symbol.name not in _DEFAULTS:
            raise DomainError(f"plot needs the values of {over}, got none; pass {over}=[...]")
        values[over] = _DEFAULTS[symbol.name]
    axes, fixed = axes_of(values)
    others = [name for name in axes if name != over]
    if over not in axes or len(others) > 1:
        raise DomainError(
            f"plot needs a list for {over} and at most one more, got lists for {', '.join(axes) or 'none'}; fix the others"
        )
    about = {"spectrum": spectrum, "target": target}
    x = np.sort(axes[over])
    curves: list[dict[str, Any]] = [{}] if not others else [{others[0]: v} for v in axes[others[0]].tolist()]
    picture = Picture(figsize=(6.4, 4.4), layout="constrained") if ax is None else ax.figure
    axis = picture.add_subplot() if ax is None else ax
    runs = None if trials is None else Runs(trials, seed, jobs, checkpoint=checkpoint)
    marker = "." if x.size <= _COUNTED and np.all(x == np.round(x)) else ""
    heights = []
    many = len(curves) > 1
    for at, colour in zip(curves, colours(len(curves), ordered=True), strict=True):
        where = {**fixed, **at}
        y = theory_on(formula, {over: x}, {**where, "test_noise": test_noise}, about)
        heights.append(y)
        axis.plot(x, y, color=colour, marker=marker, label=_named(at) or "test error")
        if flag(terms, "terms"):
            parts = formula.evaluate(**about, terms=True, **{**where, over: x})
            for (name, part), dash in zip(parts.items(), _DASHES * len(parts), strict=False):
                line = np.broadcast_to(np.asarray(part, dtype=float), x.shape)
                label = name.replace("_", " ") if at == curves[0] else None
                axis.plot(x, line, color=colour, linestyle=dash, linewidth=1.1, label=label)
        if runs is not None:
            chosen = x[np.unique(np.linspace(0, x.size - 1, min(points, x.size)).round().astype(int))]
            found = simulated(formula, {over: chosen}, where, about, runs)
            label = "simulation" if at == curves[-1] else None
            bars = [2 * s.sem for s in found]
            axis.errorbar(chosen, [s.mean for s in found], yerr=bars, color=colour if many else "0.25", marker="o",
                          markersize=4, linestyle="none", capsize=3, elinewidth=1, label=label)  # fmt: skip
    if logarithmic(x):
        axis.set_xscale("log")
    if logarithmic(np.concatenate(heights)):
        axis.set_yscale("log")
    axis.set_xlabel(axis_name(over))
    axis.set_ylabel("test error" if test_noise is not None else "test error (excess risk)")
    axis.set_title(f"{formula.name} ({formula.regime})", fontsize="medium")
    axis.grid(visible=True, which="major", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize="small")
    return picture


_DEFAULTS = {"lam": _RIDGES, "lam0": _RIDGES, "n": _ROUNDS}


def _named(at: dict[str, Any]) -> str:
    """Return what the legend calls a curve."""
    return ", ".join(f"{axis_name(name)} = {value:g}" for name, value in at.items())
