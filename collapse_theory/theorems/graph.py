"""The theorems as nodes, their relations as edges: which is the limit, the special case or the bound of which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sympy import S, true

from collapse_theory.symbols import NOTATION, error
from collapse_theory.theorems.catalog import catalog
from collapse_theory.theorems.theorem import Relation

__all__ = ["Edge", "edges", "incoming", "outgoing"]


@dataclass(frozen=True)
class Edge:
    """A relation with the theorem that states it.

    Attributes:
        source: Slug of that theorem.
        relation: The relation; ``relation.to`` is the other end.
    """

    source: str
    relation: Relation

    @property
    def target(self) -> str:
        """Slug of the theorem it leads to."""
        return self.relation.to

    def values(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the relation substitutes in the formula of its source and in that of its target, by name.

        A symbol that tends to its value is left out; see :attr:`Relation.approached`.
        """
        r = self.relation
        fixed = {k: v for k, v in r.at.items() if k not in r.approached}
        here, there = (catalog[slug].parameters for slug in (self.source, self.target))
        # a covariance is no symbol of the formula: its eigenvalues are substituted in the theorem that has it
        own = {k: v for k, v in fixed.items() if k in here or k not in NOTATION}
        other = {k: v for k, v in fixed.items() if k in there and k not in own} | dict(r.there)
        return own, other

    def words(self) -> str:
        """Return the relation as a sentence.

        >>> print(outgoing("ridge-replace")[0].words())
        ridge-replace at n = 0 equals ridge-clean: no generation
        """
        r = self.relation
        own, other = self.values()
        subject = "" if r.of == error else f"{r.of} of "
        tends = "".join(f" as {k} -> {v}" for k, v in r.at.items() if k in r.approached)
        claim = {
            "equals": "equals {}{}",
            "tends to": "tends to {}{}",
            "bounded by": "is at most {}{}",
            "same limit": "has the limit of {}{} as d and the rows grow in proportion",
        }[r.kind].format(self.target, _listed(other))
        less = f", less where {_conjunction(r.strict)}" if r.kind == "bounded by" and r.strict != true else ""
        where = [*map(str, r.where), *(["all eigenvalues are equal"] if r.isotropic else [])]
        domain = f", where {' and '.join(where)}" if where else ""
        note = f": {r.note}" if r.note else ""
        return f"{subject}{self.source}{_listed(own)}{tends} {claim}{less}{domain}{note}"

    def data(self) -> dict[str, Any]:
        """Return the edge as plain data."""
        r = self.relation
        own, other = self.values()
        return {
            "from": self.source,
            "to": self.target,
            "kind": r.kind,
            "of": str(r.of),
            "at": _texts(own),
            "there": _texts(other),
            "as": _texts({k: r.at[k] for k in r.approached}),
            "where": [*map(str, r.where)],
            "strict": _conjunction(r.strict) if r.kind == "bounded by" else None,
            "isotropic": r.isotropic,
            "note": r.note,
            "words": self.words(),
        }


def edges() -> tuple[Edge, ...]:
    """Return all relations of the catalogue, by slug in the order they are stated.

    >>> len({edge.relation.kind for edge in edges()})
    4
    """
    return tuple(Edge(slug, r) for slug, theorem in catalog.items() for r in theorem.relations)


def outgoing(slug: str) -> tuple[Edge, ...]:
    """Return the relations that a theorem states.

    Raises:
        DomainError: If there is no such theorem.
    """
    return tuple(Edge(slug, r) for r in catalog[slug].relations)


def incoming(slug: str) -> tuple[Edge, ...]:
    """Return the relations of other theorems to this one.

    Raises:
        DomainError: If there is no such theorem.

    >>> [edge.source for edge in incoming("ols-accumulate-fixed-design")]
    ['ols-accumulate']
    """
    known = catalog[slug].slug
    return tuple(edge for edge in edges() if edge.target == known)


def _listed(values: Mapping[str, Any]) -> str:
    return f" at {', '.join(f'{k} = {v}' for k, v in _texts(values).items())}" if values else ""


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {k: str(S(v)) for k, v in values.items()}


def _conjunction(condition: Any) -> str:
    return " and ".join(sorted(map(str, condition.args))) if condition.is_Function else str(condition)
