"""What a theorem is, and how it is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sympy import Expr, Symbol

from collapse_theory.core.doors import through
from collapse_theory.core.errors import PipelineError, nearest, shown
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.describe.pipeline import Pipeline

__all__ = ["REGISTRY", "Relation", "Theorem", "register"]


@dataclass(frozen=True)
class Relation:
    """A link to a neighbour: substituting ``at`` turns this theorem into the other (checked by the test suite).

    Attributes:
        to: Slug of the neighbour.
        kind: "equals", "bounded by", "tends to", or "same limit": equal as d and the rows grow in proportion.
        at: Values by symbol name; an empty mapping relates the formulas as they are.
        note: In words.
    """

    to: str
    kind: str
    at: Mapping[str, Any]
    note: str


@dataclass(frozen=True)
class Theorem:
    """A catalogue entry; its formula is derived on first use.

    Attributes:
        slug: Its name in the catalogue.
        title: One line.
        hypotheses: The setting, in words with LaTeX.
        derive: Returns the formula; called once.
        build: Returns the pipeline of a special case from ``n`` and stage parameters.
        sources: BibTeX keys.
        relations: Links to neighbours.
        unfold: Returns the formula at an integer ``n`` and parameters of which some have one value per generation or round;
            None if there is one value for all.
        simulates: Whether the pipeline's test error is the formula; False for a limit, whose pipeline is its first round.
    """

    slug: str
    title: str
    hypotheses: str
    derive: Callable[[], ErrorFormula]
    build: Callable[..., Pipeline]
    sources: tuple[str, ...]
    relations: tuple[Relation, ...] = ()
    unfold: Callable[..., ErrorFormula] | None = None
    simulates: bool = True

    @cached_property
    def error(self) -> ErrorFormula:
        """The test error as a derived formula, ``n`` symbolic."""
        described = self.pipeline if self.simulates else None
        return replace(self.derive(), name=self.slug, references=self.sources, pipeline=described)

    def at(self, n: int, **parameters: Any) -> ErrorFormula:
        """Return the formula unfolded at an integer ``n``, other parameters optionally replaced.

        Args:
            n: Number of generations or rounds, as the theorem counts them.
            **parameters: Numbers or expressions by symbol name, or sequences of them where the theorem takes one value per
                generation or round.

        Raises:
            DomainError: If a name is unknown or a condition fails.
            PipelineError: If the theorem takes no sequences, or one has another length.
        """
        listed = sorted(name for name, x in parameters.items() if isinstance(x, (list, tuple)))
        if not listed:
            return self.error.subs({"n": n, **parameters}).doit()
        if self.unfold is None:
            raise PipelineError(
                f"{self.slug} takes one value of {listed[0]} for all rounds, got {shown(parameters[listed[0]])}; "
                "describe rounds that differ as a pipeline and use test_error"
            )
        return replace(self.unfold(n, **parameters), name=self.slug, references=self.sources)

    def pipeline(self, **parameters: Any) -> Pipeline:
        """Return the theorem's pipeline; parameters default to their symbols, ``n`` must be an integer.

        Raises:
            PipelineError: If a parameter is unknown, or the pipeline needs an ``n``.
        """
        known = {x.name: x for x in self.error.free_symbols if x.name != "d"}
        for name in parameters:
            if name not in known:
                raise PipelineError(f"{self.slug}.pipeline has no parameter {shown(name)}{nearest(name, known)}")
        if "n" in known and "n" not in parameters:
            raise PipelineError(f"{self.slug}.pipeline needs n, got none; a pipeline is built generation by generation")
        values: dict[str, Expr | Symbol | Any] = {**known, **parameters}
        return self.build(**values)

    def statement(self) -> str:
        """Return the theorem in LaTeX: hypotheses, formula, conditions, regime and sources."""
        printed: str = through("Theorem.statement")(self)
        return printed

    @property
    def bibtex(self) -> str:
        """The BibTeX entries of its sources."""
        entries: str = through("Theorem.bibtex")(self.sources)
        return entries

    def __repr__(self) -> str:
        return f"Theorem({self.slug!r}: {self.title})"


REGISTRY: dict[str, Theorem] = {}
"""Filled by :func:`register` as the modules of this folder are imported; read it through ``ct.catalog``."""


def register(
    slug: str,
    *,
    title: str,
    hypotheses: str,
    build: Callable[..., Pipeline],
    sources: tuple[str, ...],
    relations: tuple[Relation, ...] = (),
    unfold: Callable[..., ErrorFormula] | None = None,
    simulates: bool = True,
) -> Callable[[Callable[[], ErrorFormula]], Callable[[], ErrorFormula]]:
    """Register the decorated derivation as a catalogue entry. Nothing is derived until it is used."""

    def keep(derive: Callable[[], ErrorFormula]) -> Callable[[], ErrorFormula]:
        if slug in REGISTRY:
            raise AssertionError(f"two theorems named {slug}")
        REGISTRY[slug] = Theorem(slug, title, hypotheses, derive, build, sources, relations, unfold, simulates)
        return derive

    return keep
