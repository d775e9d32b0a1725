"""Files of claims: what was published, where, about which theorem, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collapse_theory.check.claim_verdict import ClaimCheck
from collapse_theory.check.claims import check_claim
from collapse_theory.core.errors import ParseError, nearest, shown
from collapse_theory.core.reading import as_path, read_toml
from collapse_theory.describe.recipe import located

__all__ = ["CheckedClaim", "check_claims"]

_TEXTS = ("formula", "claim", "theorem", "verdict", "source", "note", "term", "along")
_VERDICTS = ("holds", "leading-order", "bound", "fails")


@dataclass(frozen=True)
class CheckedClaim:
    """A claim of a file, and what was found.

    Attributes:
        source: Where it was published.
        expected: The verdict that the file states.
        found: The check.
    """

    source: str
    expected: str
    found: ClaimCheck

    @property
    def as_stated(self) -> bool:
        """Whether the verdict is the one that the file states."""
        return self.found.verdict == self.expected


def check_claims(path: Path | str, *, draws: int = 60, seed: int = 0) -> list[CheckedClaim]:
    """Return the checks of all claims of a file.

    Args:
        path: A TOML file of ``[[claim]]`` tables: ``formula``, ``claim`` (its kind, by default "equals"), ``theorem``, ``source``
            and the ``verdict`` that is expected (by default "holds"); also ``term``, ``along``, ``note``, ``notation``, ``values``.
        draws: Number of points of each.
        seed: Seed of the points.

    Raises:
        ParseError: If the file is not readable, or a claim in it is not.
    """
    table = read_toml(as_path(path, "claims"))
    claims = table.get("claim")
    if set(table) != {"claim"} or not isinstance(claims, list) or not claims:
        raise ParseError(f"{path} needs [[claim]] tables and nothing else, got {', '.join(sorted(table)) or 'nothing'}")
    checked = []
    for number, claim in enumerate(claims, start=1):
        with located(f"claim {number}"):
            checked.append(_checked(claim, draws, seed))
    return checked


def _checked(claim: Any, draws: int, seed: int) -> CheckedClaim:
    keys = (*_TEXTS, "notation", "values")
    if not isinstance(claim, dict):
        raise ParseError(f"a claim needs to be a table, got {shown(claim)}; write [[claim]]")
    for key, value in claim.items():
        if key not in keys:
            raise ParseError(f"unknown key {shown(key)}{nearest(key, keys)}")
        if not isinstance(value, str if key in _TEXTS else dict):
            raise ParseError(f"{key} needs {'text' if key in _TEXTS else 'a table'}, got {shown(value)}; change it")
    for key in ("formula", "theorem", "source"):
        if key not in claim:
            raise ParseError(f"a claim needs a {key}, got none; add {key} = '...'")
    expected = claim.get("verdict", "holds")
    if expected not in _VERDICTS:
        raise ParseError(f"verdict needs to be one of {', '.join(_VERDICTS)}, got {shown(expected)}")
    options = {key: claim[key] for key in ("term", "along", "notation") if key in claim}
    found = check_claim(
        claim["formula"], claim["theorem"], claim.get("claim", "equals"), draws=draws, seed=seed, **options,
        **claim.get("values", {}),
    )  # fmt: skip
    return CheckedClaim(claim["source"], expected, found)
