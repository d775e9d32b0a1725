"""The catalogue as a mapping from slug to theorem; the modules of this folder register themselves on first use."""

from __future__ import annotations

import copyreg
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping

from collapse_theory import theorems
from collapse_theory.core.attributes import Displayed
from collapse_theory.core.errors import DomainError, nearest, shown
from collapse_theory.theorems.theorem import REGISTRY, Theorem

__all__ = ["Catalog", "UnknownTheoremError", "catalog"]


class UnknownTheoremError(DomainError, KeyError):
    """No theorem of that slug."""

    __str__ = Exception.__str__  # KeyError would print the repr of the message


class Catalog(Mapping[str, Theorem], Displayed):
    """All theorems by slug, sorted.

    >>> "ridge-replace" in catalog
    True
    """

    def __init__(self) -> None:
        self._loaded = False

    def __getitem__(self, slug: str) -> Theorem:
        registry = self._registry()
        if slug not in registry:
            raise UnknownTheoremError(f"catalog has no theorem {shown(slug)}{nearest(slug, registry)}")
        return registry[slug]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._registry()))

    def __len__(self) -> int:
        return len(self._registry())

    def _registry(self) -> dict[str, Theorem]:
        if not self._loaded:
            for module in sorted(found.name for found in pkgutil.iter_modules(theorems.__path__)):
                importlib.import_module(f"{theorems.__name__}.{module}")
            self._loaded = True
        return REGISTRY

    def __repr__(self) -> str:
        return f"Catalog({', '.join(self)})"


catalog = Catalog()
"""``ct.catalog``."""


def _entry(slug: str) -> Theorem:
    return catalog[slug]


def _by_slug(theorem: Theorem) -> tuple[Callable[[str], Theorem], tuple[str]]:
    return _entry, (theorem.slug,)


copyreg.pickle(Theorem, _by_slug)  # a theorem is its entry in the catalogue: its derivation need not pickle
