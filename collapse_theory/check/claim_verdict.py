"""The verdict on a claim, and the point that speaks most against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collapse_theory.core.attributes import Displayed

__all__ = ["KINDS", "Case", "ClaimCheck"]

KINDS = ("equals", "upper-bounds", "lower-bounds", "asymptotic-to", "has-rate")
"""What a formula may be claimed to be."""


@dataclass(frozen=True)
class Case:
    """A claim at one point.

    Attributes:
        values: The values of the symbols, ``d`` among them.
        claimed: The value of the formula that is claimed, None where it has none; the exponent ``c`` of a rate ``T**-c``.
        true: The value of the theory, the mean of a simulation, or the derived exponent.
        gap: Relative difference, claimed less true; of exponents the difference itself.
    """

    values: Mapping[str, Any]
    claimed: float | None
    true: float
    gap: float


@dataclass(frozen=True)
class ClaimCheck(Displayed):
    """The verdict on a claim.

    Attributes:
        claim: The formula as it was given.
        kind: What it is claimed to be.
        about: The theorem or pipeline.
        verdict: "holds" if the claim as made is true; else "leading-order" if the gap vanishes as sizes grow, "bound" if the
            formula is never on the other side of the theory, or "fails".
        points: How many points were compared.
        worst: The point that speaks most against the claim.
        side: "upper" or "lower" if the formula bounds the theory at all points, "both" if equal, else "". A rate that is slower
            everywhere is an upper bound.
        regime: That of the theory, "scaling" for a derived rate, or "simulation".
        order: Power of 1/size with which the gap falls at the slowest point, if it vanishes as sizes grow.
        detectable: The relative error of the formula that a simulation would have seen; None where there is theory.
    """

    claim: str
    kind: str
    about: str
    verdict: str
    points: int
    worst: Case
    side: str
    regime: str
    order: float | None = None
    detectable: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the claim as made is true at all points."""
        return self.verdict == "holds"

    @property
    def worst_gap(self) -> str:
        """The gap at the worst point, in words."""
        case = self.worst
        if self.kind != "has-rate":
            return f"{100 * case.gap:+.3g} %"
        return "another power of log T" if case.claimed == case.true and case.gap else f"{case.gap:+.3g}"

    def __str__(self) -> str:
        case = self.worst
        at = ", ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in case.values.items())
        claimed = "no value" if case.claimed is None else f"{case.claimed:.6g}"
        claimed = f"T**-c with c = {claimed}" if self.kind == "has-rate" else claimed
        words = {
            "holds": "the claim is true at all of them",
            "leading-order": "false as it stands, true as sizes grow",
            "bound": f"false as it stands, the formula is {'an upper' if self.side == 'upper' else 'a lower'} bound",
            "fails": "false",
        }[self.verdict]
        where = f"{self.points} points: {words}"
        if self.detectable is not None:
            where = f"one simulated point, which would have shown an error of {100 * self.detectable:.2g} %: {self.verdict} there"
        true = "theory" if self.detectable is None else "simulation"
        return (
            f"{self.verdict}: {self.claim} {self.kind} {self.about} ({self.regime})\n{where}\n"
            f"worst: claimed {claimed}, {true} {case.true:.6g} ({self.worst_gap}) at {at or 'any point'}"
        )
