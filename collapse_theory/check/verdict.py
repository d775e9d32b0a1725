"""The verdict on a formula: its gap to a simulation, what chance and finite size explain, and what would have been seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from collapse_theory.core.attributes import Displayed
from collapse_theory.simulate.trials import Simulation

__all__ = ["Validation"]

_COARSE = 0.1
"""Relative error beyond which a formula is useless: a run that cannot see it says nothing."""


@dataclass(frozen=True)
class Validation(Displayed):
    """The comparison of a formula with a simulation.

    Attributes:
        theory: Predicted test error: the value of the formula.
        simulation: The simulation at the given size.
        allowance: Relative gap that finite size alone may still explain; 0 for exact theory.
        threshold: Standard errors that chance alone may explain.
        correction: What is added to theory before it is compared: the first finite-size correction, and with a kernel
            the energy of the target that no fit can represent.
        sizes: Simulations at the given and at twice the size, if the gap was extrapolated to infinite size.
    """

    theory: float
    simulation: Simulation
    allowance: float
    threshold: float
    correction: float = 0.0
    sizes: tuple[Simulation, Simulation] | None = None

    @property
    def expected(self) -> float:
        """Theory plus correction."""
        return self.theory + self.correction

    @property
    def mean(self) -> float:
        """The simulated mean; with ``sizes``, less the finite-size shift ``2 (sim(1) - sim(2))``."""
        if self.sizes is None:
            return self.simulation.mean
        one, two = self.sizes
        return self.simulation.mean - 2 * (one.mean - two.mean)

    @property
    def sem(self) -> float:
        """Standard error of ``mean``."""
        if self.sizes is None:
            return self.simulation.sem
        one, two = self.sizes
        if one is self.simulation:
            return math.hypot(one.sem, 2 * two.sem)
        return math.hypot(self.simulation.sem, 2 * one.sem, 2 * two.sem)

    @property
    def gap(self) -> float:
        """Simulated mean minus theory, finite size taken into account."""
        return self.mean - self.expected

    @property
    def z(self) -> float:
        """The gap in standard errors; 0 if both vanish."""
        if abs(self.gap) <= 1e-9 * abs(self.expected) or self.gap == 0:
            return 0.0
        return self.gap / self.sem if self.sem > 0 else math.copysign(math.inf, self.gap)

    @property
    def relative_gap(self) -> float:
        """The gap over theory; 0 if both vanish."""
        return (
            0.0 if self.gap == 0 else self.gap / self.expected if self.expected else math.copysign(math.inf, self.gap)
        )

    @property
    def excess_z(self) -> float:
        """The part of the gap beyond the finite-size allowance, in standard errors."""
        return math.copysign(max(0.0, abs(self.z) - self._allowed), self.z)

    @property
    def _allowed(self) -> float:
        if self.allowance == 0:
            return 0.0
        return self.allowance * abs(self.expected) / self.sem if self.sem > 0 else math.inf

    @property
    def passed(self) -> bool:
        """Whether the gap is within ``threshold`` standard errors plus the finite-size allowance."""
        return math.isfinite(self.theory) and abs(self.excess_z) <= self.threshold

    @property
    def detectable(self) -> float:
        """The relative error of the formula at which the verdict turns; a formula that is off by more fails.

        ``threshold`` standard errors plus the allowance, over the value of the formula. Chance moves the turning point of
        one run by its ``z`` standard errors.
        """
        seen = self.threshold * self.sem + (self.allowance * abs(self.expected) if self.allowance else 0.0)
        return 0.0 if seen == 0 else seen / abs(self.theory) if self.theory else math.inf

    @property
    def coarse(self) -> bool:
        """Whether a formula off by more than 10 % could have passed."""
        return not self.detectable <= _COARSE

    @property
    def remedy(self) -> str:
        """What would make the run able to see errors of 10 %, in words."""
        size = self.allowance * abs(self.expected / self.theory) if self.theory else 0.0
        if not size < _COARSE:
            return "make the system larger (more rows and dimensions): the size limits it, not the trials"
        chance = self.threshold * self.sem / abs(self.theory) if self.theory else math.inf
        if not math.isfinite(chance):
            return "use more trials"
        return f"use about {math.ceil(self.simulation.trials * (chance / (_COARSE - size)) ** 2)} trials"

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        added = "" if self.correction == 0 else f" (finite size {self.correction:+.2g})"
        how = "" if self.sizes is None else f", extrapolated from two sizes to {self.mean:.6g} +- {self.sem:.2g}"
        warning = f"; COARSE: {self.remedy}" if self.coarse else ""
        return (
            f"{verdict}: theory {self.theory:.6g}{added}, simulation {self.simulation.mean:.6g} +- "
            f"{self.simulation.sem:.2g} ({self.simulation.trials} trials){how}, z = {self.z:+.2f}, gap "
            f"{100 * self.relative_gap:+.2f} %, finite-size allowance {100 * self.allowance:.2f} %, "
            f"detectable error {100 * self.detectable:.2g} %{warning}"
        )
