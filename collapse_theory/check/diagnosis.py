"""The verdict on real inputs: six scores, their thresholds, and the corrected prediction beside the Gaussian one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from collapse_theory.core.arguments import instance
from collapse_theory.core.attributes import Displayed
from collapse_theory.core.errors import DomainError
from collapse_theory.core.numbers import integer, real
from collapse_theory.describe.spectra import Eigenvalues
from collapse_theory.describe.targets import RandomTarget, Target
from collapse_theory.numerics.elliptic import CleanFit

__all__ = ["THRESHOLDS", "Diagnosis", "Prediction", "worst"]

Verdict = Literal["trust", "caution", "distrust"]
_GRADES: tuple[Verdict, ...] = ("trust", "caution", "distrust")

THRESHOLDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "size": (0.05, 0.3),
        "spread": (0.025, 0.2),
        "population": (0.06, 0.2),
        "clusters": (0.02, 0.3),
        "fourth moment": (0.1, 0.3),
        "leverage": (0.1, 0.3),
    }
)
"""Each score: caution from, distrust from."""

_GAUSSIAN = 3.0


@dataclass(frozen=True)
class Prediction:
    """The test error of a fit on truthful labels, on three kinds of rows of one covariance.

    Attributes:
        gaussian: On Gaussian rows.
        elliptic: On fresh rows whose energies spread like those of the inputs.
        resampled: On rows drawn with replacement from the inputs, tested on all of them: what ``ct.simulate`` does.
    """

    gaussian: float
    elliptic: float
    resampled: float

    def __str__(self) -> str:
        def part(value: float) -> str:
            finite = math.isfinite(value) and math.isfinite(self.gaussian) and self.gaussian > 0
            return f"{value:.4g}" + (f" (x {value / self.gaussian:.3g})" if finite else "")

        return (
            f"{self.gaussian:.4g} on Gaussian rows, {part(self.elliptic)} on rows of this spread, "
            f"{part(self.resampled)} drawn from these rows"
        )


@dataclass(frozen=True, eq=False)
class Diagnosis(Displayed):
    """How far the inputs are from Gaussian where the fit looks.

    Attributes:
        T: Rows of the fit.
        lam: Its ridge.
        least_noise: Smallest label noise that the verdict covers, over the standard deviation of the true labels.
        N: Rows of the inputs.
        columns: Columns of the inputs.
        eigenvalues: Variance of each direction, descending, shape (r,).
        fourth_moments: Whitened fourth moment of each direction; 3 for Gaussian inputs.
        leverages: Largest share of a direction's energy in one row.
        spread: Variance of the rows' scales, beyond that of Gaussian rows.
        parallel: Fourth moment of products of two rows over its elliptic value; 1 for elliptic rows.
        clusters: The score of that.
        gaussian: The fit on Gaussian rows.
        elliptic: On fresh rows of this spread.
        resampled: On rows of this spread, drawn with replacement from N.
    """

    T: float
    lam: float
    least_noise: float
    N: int
    columns: int
    eigenvalues: np.ndarray
    fourth_moments: np.ndarray
    leverages: np.ndarray
    spread: float
    parallel: float
    clusters: float
    gaussian: CleanFit
    elliptic: CleanFit
    resampled: CleanFit

    @property
    def kappa(self) -> float:
        """The effective ridge on Gaussian rows."""
        return self.gaussian.kappa

    @property
    def use(self) -> np.ndarray:
        """How much of each direction the fit uses, ``s/(s + kappa)``."""
        return np.asarray(self.eigenvalues / (self.eigenvalues + self.kappa))

    @property
    def excess(self) -> np.ndarray:
        """Excess relative variance of each direction's sample second moment over Gaussian rows, weighted by its use."""
        return np.asarray(self.use * (self.fourth_moments - _GAUSSIAN).clip(0) / self.T)

    @property
    def leverage(self) -> np.ndarray:
        """Largest leverage of each direction, weighted by its use."""
        return np.asarray(self.use * self.leverages)

    @property
    def scores(self) -> Mapping[str, float]:
        """The six scores, by name; see the head of this module."""
        residual = self.T - float(np.sum(self.use**2))
        return {
            "size": 1 / (residual - 1) if residual > 1 else math.inf,
            "spread": self._gap(self.gaussian, self.elliptic),
            "population": self._gap(self.elliptic, self.resampled),
            "clusters": self.clusters,
            "fourth moment": float(self.excess.max()),
            "leverage": float(self.leverage.max()),
        }

    @property
    def _ranks(self) -> Mapping[str, tuple[int, float]]:
        """How much each score warns: how many of its thresholds it reaches, then its size over the first."""
        return {
            k: (sum(score >= threshold for threshold in THRESHOLDS[k]), score / THRESHOLDS[k][0])
            for k, score in self.scores.items()
        }

    @property
    def verdict(self) -> Verdict:
        """One of "trust", "caution", "distrust"."""
        return _GRADES[self.warning[0]]

    @property
    def reason(self) -> str:
        """The worst score in words, with its numbers."""
        name = self.worst_score
        facts, advice = self._words(name, self.scores[name])
        if self.verdict == "trust":
            return f"Nothing that the fit uses is far from Gaussian; the largest score is {name}: {facts}."
        effect = {"caution": "Expect a gap to the theory", "distrust": "The theory does not describe these rows"}
        return f"{effect[self.verdict]}; the worst score is {name}: {facts}. {advice}."

    @property
    def warning(self) -> tuple[int, float]:
        """What orders diagnoses: thresholds reached by the worst score, then its size over the first of them."""
        return max(self._ranks.values())

    @property
    def worst_score(self) -> str:
        """The name of the score that the verdict rests on: the largest relative to its thresholds."""
        ranks = self._ranks
        return max(ranks, key=lambda k: ranks[k])

    def _words(self, name: str, score: float) -> tuple[str, str]:
        more = "Use more rows or a larger ridge"
        df1, residual = float(self.use.sum()), self.T - float(np.sum(self.use**2))
        if name == "size":
            return f"{residual:.3g} residual degrees of freedom T - df2, where the theory needs many", more
        if name == "spread":
            return (
                f"the energies of rows vary by {self.spread:.2g} of their squared mean more than Gaussian ones, which moves "
                f"the error of a clean fit by up to {_percent(score)}"
            ), "Use the prediction for elliptic rows"
        if name == "population":
            return (
                f"{self.N} rows for {df1:.3g} degrees of freedom (df1/N = {df1 / self.N:.2g}); drawing them with replacement "
                f"moves the error of a clean fit by up to {_percent(score)}"
            ), "Use the prediction for resampled rows, or more of them"
        if name == "clusters":
            return (
                f"rows are parallel too often, as near-duplicates are: the fourth moment of their products is "
                f"{self.parallel:.2g} times that of elliptic rows, worth about {_percent(score)} in a sample of {self.T:g}"
            ), more
        j = int(np.argmax(self.excess if name == "fourth moment" else self.leverage))
        return (
            f"the direction of eigenvalue {self.eigenvalues[j]:.2g} has fourth moment {self.fourth_moments[j]:.0f} "
            f"(Gaussian: 3) and {100 * self.leverages[j]:.0f} % of its energy in one row, and the fit uses "
            f"{100 * self.use[j]:.3g} % of it"
        ), more

    def predict(self, target: Target, *, noise: float = 0.0) -> Prediction:
        r"""Return the test error of the fit on labels of the truth, Gaussian and corrected.

        Args:
            target: Energies along the eigenvectors of the inputs' covariance, as of ``ct.from_data``.
            noise: Standard deviation of the label noise, >= 0.

        Raises:
            DomainError: If the target does not pair with the directions, or the noise is negative.

        >>> from collapse_theory.check.diagnose import diagnose
        >>> rng = np.random.default_rng(0)
        >>> X = rng.standard_normal((4000, 50)) * np.sqrt(rng.choice([0.1, 1.9], size=(4000, 1)))
        >>> found = diagnose(X, T=100)
        >>> p = found.predict(RandomTarget(norm2=1), noise=1.0)
        >>> round(p.gaussian, 2), round(p.elliptic, 2), found.verdict     # least squares: d/(T - d), and on these rows
        (1.0, 2.03, 'distrust')
        """
        instance(target, Target, "target", "write ct.Energies(values)", DomainError)
        sigma = float(real(noise, "noise", nonnegative=True, number=True))
        s = self.eigenvalues
        every = np.zeros(self.columns)  # as ct.from_data lists them: one direction per column, dead ones last
        every[: s.size] = s
        energies = target.energies(Eigenvalues(every))[: s.size]
        return Prediction(*(
            float(fit.bias(s) @ energies) + (sigma**2 * fit.noise if sigma else 0.0)  # no noise where it would diverge
            for fit in (self.gaussian, self.elliptic, self.resampled)
        ))  # fmt: skip

    def table(self, most: int = 10) -> list[dict[str, float]]:
        """Return the directions that matter most, worst first, one mapping per direction."""
        most = integer(most, "most", least=0)
        cautions = THRESHOLDS["fourth moment"][0], THRESHOLDS["leverage"][0]
        order = np.argsort(-np.maximum(self.excess / cautions[0], self.leverage / cautions[1]))[:most]
        columns = {
            "eigenvalue": self.eigenvalues,
            "fourth moment": self.fourth_moments,
            "leverage": self.leverages,
            "use": self.use,
        }
        return [{"direction": int(j) + 1, **{k: float(v[j]) for k, v in columns.items()}} for j in order]

    def _gap(self, before: CleanFit, after: CleanFit) -> float:
        """Return the largest relative change of the error: of pure noise, or of a signal in one direction and its noise."""
        old, new = (
            np.append(fit.bias(self.eigenvalues) / self.eigenvalues + self.least_noise**2 * fit.noise, fit.noise)
            for fit in (before, after)
        )
        if not np.isfinite(new).all() or not np.isfinite(old).all():  # the interpolation threshold
            return math.inf
        change = np.abs(new - old)
        return float(np.divide(change, old, out=np.where(change > 0, np.inf, 0.0), where=old > 0).max())

    @property
    def comparison(self) -> str:
        """The corrected prediction beside the Gaussian one: the two parts of the error of a fit on truthful labels."""
        noise = Prediction(self.gaussian.noise, self.elliptic.noise, self.resampled.noise)
        parts = [f"per unit of noise variance {noise}"]
        bias = self.predict(RandomTarget())
        if bias.gaussian > 0 or bias.resampled > 0:
            parts.append(f"of bias, for a random target of norm one, {bias}")
        return f"A fit on truthful labels has the error {'; '.join(parts)}."

    def __str__(self) -> str:
        return f"{self.verdict} (T={self.T:g}, lam={self.lam:g}): {self.reason}\n{self.comparison}"


def worst(diagnoses: Sequence[Diagnosis]) -> Diagnosis:
    """Return the diagnosis that warns most.

    >>> from collapse_theory.check.diagnose import diagnose
    >>> X = np.random.default_rng(0).standard_normal((500, 3))
    >>> worst([diagnose(X, T=10), diagnose(X, T=1000)]).T
    10.0
    """
    return max(diagnoses, key=lambda found: found.warning)


def _percent(share: float) -> str:
    if not math.isfinite(share):
        return "any factor"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:,.0f} %"
