"""What a theorem is, and how it is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any, Literal

from sympy import Expr, S, Symbol, oo, true
from sympy.logic.boolalg import Boolean

from collapse_theory.core.attributes import Displayed
from collapse_theory.core.doors import through
from collapse_theory.core.errors import DomainError, PipelineError, nearest, shown
from collapse_theory.derive.clean import clean_counterpart
from collapse_theory.derive.formula import ErrorFormula, Regime
from collapse_theory.derive.rounds import RoundTerm
from collapse_theory.describe.pipeline import Pipeline
from collapse_theory.symbols import NOTATION, error

__all__ = ["REGISTRY", "Kind", "Relation", "Theorem", "register"]


Kind = Literal["equals", "tends to", "bounded by", "same limit"]


@dataclass(frozen=True)
class Relation:
    r"""A link to a neighbour, for all values of the symbols that it does not fix, every spectrum and every target.

    The symbols of this theorem take the values of ``at``, those of the neighbour the same by name unless ``there`` says
    otherwise. Where the conditions of both then hold, and those of ``where``, the relation claims of the errors
    :math:`E` here and :math:`E'` there, with ``of`` a function :math:`f`:

    * "equals": :math:`f(E)=E'`;
    * "tends to": :math:`f(E)\to E'` as each symbol whose value in ``at`` is infinite, or zero and outside its range, goes there;
    * "bounded by": :math:`f(E)\le E'`, with equality only outside ``strict``;
    * "same limit": :math:`f(E)/E'\to1` as d and all rows grow in proportion.

    Attributes:
        to: Slug of the neighbour.
        kind: One of the four.
        at: Values by symbol name, numbers or expressions in the symbols of either theorem; a name of a covariance gives its
            eigenvalues as a function of those of Sigma.
        note: In words.
        there: Values of the neighbour's symbols where they are not those of ``at``.
        of: What is compared, in ``symbols.error``.
        where: Conditions beyond those of the two theorems.
        strict: Where a bound is strict.
        isotropic: Whether all eigenvalues need to be equal.
    """

    to: str
    kind: Kind
    at: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    note: str = ""
    there: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    of: Expr = error
    where: tuple[Boolean, ...] = ()
    strict: Boolean = true
    isotropic: bool = False

    @property
    def approached(self) -> tuple[str, ...]:
        """Names of the symbols that tend to their value in ``at``."""
        return tuple(
            name
            for name, value in self.at.items()
            if value == oo or (value == 0 and name in NOTATION and NOTATION[name].is_positive)
        )


@dataclass(frozen=True)
class Theorem(Displayed):
    """A catalogue entry; its formula is derived on first use.

    Attributes:
        slug: Its name in the catalogue.
        title: One line.
        regime: That of the formula; what is derived has to have it.
        hypotheses: The setting, in words with LaTeX.
        derive: Returns the formula; called once.
        build: Returns the pipeline from the symbols of the formula, ``n`` an integer; an argument with a default is none of them.
        sources: BibTeX keys.
        relations: Links to neighbours.
        unfold: Returns the formula at an integer ``n`` and parameters of which some have one value per generation or round;
            None if there is one value for all.
        simulates: Whether the pipeline's test error is the formula; False for a limit, whose pipeline is its first round.
    """

    slug: str
    title: str
    regime: Regime
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
        formula = self.derive()
        if formula.regime != self.regime:
            raise AssertionError(f"{self.slug} is registered as {self.regime}, and its derivation is {formula.regime}")
        described = self.pipeline if self.simulates else None
        return replace(formula, name=self.slug, references=self.sources, pipeline=described)

    @property
    def parameters(self) -> frozenset[str]:
        """The names of the symbols of its formula other than ``d``, known before it is derived."""
        arguments = signature(self.build).parameters.values()
        return frozenset(x.name for x in arguments if x.default is Parameter.empty)

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

    def decomposed(self, n: int | None = None) -> ErrorFormula:
        """Return the error as what the tested fit makes of real labels, and what synthetic ones add to its bias and variance.

        The terms are "bias" and "variance" of the same fit labelled by the truth, "synthetic_bias" (of either sign) and
        "synthetic_variance"; they add up to the error.

        Args:
            n: Number of generations or rounds; needed where the tested fit depends on it.

        Raises:
            DomainError: If the theorem is about another family, or needs an ``n``.

        >>> from collapse_theory.theorems.catalog import catalog
        >>> list(catalog["ridge-chain"].decomposed().parts)
        ['bias', 'variance', 'synthetic_bias', 'synthetic_variance']
        """
        whole = self.error if n is None else self.at(n)
        if any(name.startswith("synthetic_") for name in whole.parts):
            return whole
        if n is None and any(e.atoms(RoundTerm) for e in whole.parts.values()):
            raise DomainError(f"the tested fit of {self.slug} depends on n, got none; pass decomposed(n=3)")
        counted = any(x.name == "n" for x in self.error.free_symbols)
        clean = clean_counterpart(whole, (1 if n is None else n) if counted else None)
        if clean is None:
            raise DomainError(f"{self.slug} has no clean counterpart: it is no test error of a linear pipeline")
        real = {name: clean.terms.get(name, S.Zero) for name in ("bias", "variance")}
        added = {f"synthetic_{name}": whole.parts.get(name, S.Zero) - e for name, e in real.items()}
        return replace(whole, parts={**real, **added})

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

    def latex(self, **options: Any) -> str:
        """Return the LaTeX of the formula; see :meth:`~collapse_theory.derive.formula.ErrorFormula.latex`.

        Args:
            **options: ``notation``, ``definitions``, ``width``, ``environment``, ``underbrace``, ``macros``; as a theorem it is
                the whole statement.
        """
        if options == {"environment": "theorem"}:
            return self.statement()
        return self.error.latex(**options)

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
    regime: Regime,
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
        REGISTRY[slug] = Theorem(slug, title, regime, hypotheses, derive, build, sources, relations, unfold, simulates)
        return derive

    return keep
