r"""Can the Gaussian theory be trusted on these inputs?

The theory sees inputs only through their covariance. What breaks it on real data is an eigendirection whose energy a few
rows carry: its sample second moment fluctuates by :math:`\sqrt{(\mu_4-1)/T}` (Gaussian: :math:`\mu_4=3`), and a fit whose rows
miss those few sees a nearly empty direction. A ridge protects: a fit uses a direction by the share
:math:`s_j/(s_j+\kappa)`. The diagnostic is therefore, per direction, the whitened fourth moment :math:`\mu_4` and the largest
leverage (share of the direction's energy in one row), weighted by that use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from collapse_theory.describe.data import principal_components
from collapse_theory.describe.numbers import integer, real
from collapse_theory.describe.spectra import Eigenvalues
from collapse_theory.evaluate.ridge import effective_ridge

__all__ = ["Diagnosis", "diagnose", "worst"]

Verdict = Literal["trust", "caution", "distrust"]

# Calibrated on bundled digits (chains of 1 to 3 fits, 300 and 600 rows): below the first pair the simulation on real rows is
# within 5 % of the theory; above the second it is off by 10 % to a factor of ten.
_TRUST = {"excess": 0.1, "leverage": 0.1}
_DISTRUST = {"excess": 1.0, "leverage": 0.5}
_GAUSSIAN = 3.0


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How far the inputs are from Gaussian where the fit looks.

    Attributes:
        T: Rows of the fit.
        lam: Its ridge.
        kappa: Its effective ridge.
        eigenvalues: Variance of each direction, descending, shape (r,).
        fourth_moments: Whitened fourth moment of each direction; 3 for Gaussian inputs.
        leverages: Largest share of a direction's energy in one row.
        use: How much of the direction the fit uses, ``s/(s + kappa)``.
    """

    T: float
    lam: float
    kappa: float
    eigenvalues: np.ndarray
    fourth_moments: np.ndarray
    leverages: np.ndarray
    use: np.ndarray

    @property
    def excess(self) -> np.ndarray:
        """Excess relative variance of each direction's sample second moment over Gaussian rows, weighted by its use."""
        return self.use * (self.fourth_moments - _GAUSSIAN).clip(0) / self.T

    @property
    def leverage(self) -> np.ndarray:
        """Largest leverage of each direction, weighted by its use."""
        return self.use * self.leverages

    @property
    def verdict(self) -> Verdict:
        """One of "trust", "caution", "distrust"."""
        scores = {"excess": self.excess.max(), "leverage": self.leverage.max()}
        if any(scores[k] >= _DISTRUST[k] for k in scores):
            return "distrust"
        return "trust" if all(scores[k] < _TRUST[k] for k in scores) else "caution"

    @property
    def reason(self) -> str:
        """One sentence that says why."""
        j = int(np.argmax(np.maximum(self.excess / _TRUST["excess"], self.leverage / _TRUST["leverage"])))
        facts = (
            f"eigenvalue {self.eigenvalues[j]:.2g}, fourth moment {self.fourth_moments[j]:.0f} (Gaussian: 3), "
            f"largest leverage {100 * self.leverages[j]:.0f} %, used to {100 * self.use[j]:.3g} %"
        )
        advice = {
            "trust": "No direction that the fit uses is far from Gaussian",
            "caution": "Some directions that the fit uses are not Gaussian: expect gaps of several per cent",
            "distrust": "The fit relies on directions whose energy a few rows carry: use a larger ridge or more rows",
        }
        return f"{advice[self.verdict]} (worst direction: {facts})."

    def table(self, most: int = 10) -> list[dict[str, float]]:
        """Return the directions that matter most, worst first, one mapping per direction."""
        most = integer(most, "most", least=0)
        order = np.argsort(-np.maximum(self.excess / _TRUST["excess"], self.leverage / _TRUST["leverage"]))[:most]
        columns = {
            "eigenvalue": self.eigenvalues,
            "fourth moment": self.fourth_moments,
            "leverage": self.leverages,
            "use": self.use,
        }
        return [{"direction": int(j) + 1, **{k: float(v[j]) for k, v in columns.items()}} for j in order]

    def __str__(self) -> str:
        return f"{self.verdict} (T={self.T:g}, lam={self.lam:g}): {self.reason}"


def diagnose(X: Any, *, T: Any, lam: Any = 0) -> Diagnosis:
    r"""Return whether the Gaussian theory can be trusted for a ridge fit on rows like these.

    Args:
        X: Inputs, shape (N, p); columns are centred.
        T: Rows of the fit, positive.
        lam: Ridge of the fit, >= 0; without one every direction is used fully.

    Raises:
        DomainError: If an argument is out of range or ``X`` is not a finite matrix.

    >>> rng = np.random.default_rng(0)
    >>> diagnose(rng.standard_normal((2000, 5)), T=100).verdict
    'trust'
    >>> X = rng.standard_normal((2000, 5)); X[:, 4] = 0; X[0, 4] = 1.0
    >>> diagnose(X, T=100).verdict, diagnose(X, T=100, lam=0.1).verdict
    ('distrust', 'trust')
    """
    rows, ridge = (
        float(real(T, "T", positive=True, number=True)),
        float(real(lam, "lam", nonnegative=True, number=True)),
    )
    U, S = principal_components(X)
    N = len(U)
    s, shares = S**2 / N, U**2  # each row's share of a direction's energy
    kappa = effective_ridge(Eigenvalues(s), T=rows, lam=ridge)
    return Diagnosis(
        T=rows,
        lam=ridge,
        kappa=kappa,
        eigenvalues=s,
        fourth_moments=N * (shares**2).sum(axis=0),
        leverages=shares.max(axis=0),
        use=s / (s + kappa),
    )


def worst(diagnoses: Sequence[Diagnosis]) -> Diagnosis:
    """Return the diagnosis that warns most.

    >>> X = np.random.default_rng(0).standard_normal((500, 3))
    >>> worst([diagnose(X, T=10), diagnose(X, T=1000)]).T
    10.0
    """
    grade = {"trust": 0, "caution": 1, "distrust": 2}
    return max(diagnoses, key=lambda g: (grade[g.verdict], g.excess.max() + g.leverage.max()))
