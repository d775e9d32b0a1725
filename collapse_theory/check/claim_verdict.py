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

    @property
    def holds(self) -> bool:
        """Whether the claim as made is true at all points."""
        return self.verdict == "holds"

    def __str__(self) -> str:
        case = self.worst
        at = ", ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in case.values.items())
        claimed = "no value" if case.claimed is None else f"{case.claimed:.6g}"
        gap = f"{100 * case.gap:+.3g} %"
        if self.kind == "has-rate":
            claimed = f"T**-c with c = {claimed}"
            gap = "another power of log T" if case.claimed == case.true and case.gap else f"{case.gap:+.3g}"
        words = {
            "holds": "the claim is true at all of them",
            "leading-order": "false as it stands, true as sizes grow",
            "bound": f"false as it stands, the formula is {'an upper' if self.side == 'upper' else 'a lower'} bound",
            "fails": "false",
        }[self.verdict]
        return (
            f"{self.verdict}: {self.claim} {self.kind} {self.about} ({self.regime})\n{self.points} points: {words}\n"
            f"worst: claimed {claimed}, theory {case.true:.6g} ({gap}) at {at or 'any point'}"
        )
