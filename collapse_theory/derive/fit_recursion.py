r"""What the recursion over the fits (:mod:`.cavity`) is about, fit by fit and design by design, also at a symbolic ``n``.

With unit row weights, one covariance and labels that add up to one, a system of fits is known by the rows :math:`N_k` and the
ridge of each fit, and by the rows :math:`T_D` of each design, the fits that see it, and the labels and noise each of them has
there. The fits of a workflow repeat: all of that is a sequence in the index with one law, which is found from a few numbers of
rounds and has to hold for one more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sympy import Add, Expr, Integer, Tuple

from collapse_theory.algebra.progressions import Stretch, runs, stretches, written_out
from collapse_theory.derive.pooled import PooledDesign, PooledSystem
from collapse_theory.symbols import design_index, eigenvalue, fit_index
from collapse_theory.symbols import n as rounds

__all__ = ["FitRecursion", "fit_recursion", "fit_recursion_in_rounds"]

_ROUNDS = (4, 5, 6, 7)  # the last is the check


@dataclass(frozen=True)
class FitRecursion:
    """The fits and designs of a system, places counted from 1.

    Attributes:
        count: Number of fits.
        fits: Each fit's rows and ridge.
        designs: Each design's rows, the first and last fits of those that see it, and, where all of them have the same labels
            there, the labels (labeller and coefficient) and the noise variance.
        relabelled: By the place of each other design, its labels and noise fit by fit: the variance of its own noise, and the
            amplitude of the one that it shares with other fits, if there is one.
        least: The least number of rounds for which a recursion at the symbol ``n`` is that of the pipeline; else 0.
    """

    count: Expr
    fits: tuple[Stretch, ...]
    designs: tuple[Stretch, ...]
    relabelled: Mapping[Expr, tuple[Stretch, ...]]
    least: int = 0

    def mapped(self, values: Mapping[Any, Any]) -> FitRecursion:
        """Return the recursion with symbols replaced."""
        fits, designs = (tuple(run.mapped(values) for run in found) for found in (self.fits, self.designs))
        rows = {at.xreplace(values): tuple(run.mapped(values) for run in x) for at, x in self.relabelled.items()}
        return FitRecursion(self.count.xreplace(values), fits, designs, rows, self.least)

    def _at(self, count: int) -> _Sequences | None:
        """Return the sequences that the laws give at a number of rounds; None where two laws claim a place."""
        fits, designs = (written_out(found, rounds, count) for found in (self.fits, self.designs))
        relabelled = {int(at): written_out(x, rounds, count) for at, x in self.relabelled.items()}
        if fits is None or designs is None or any(x is None for x in relabelled.values()):
            return None
        return _Sequences(fits, designs, {at: x for at, x in relabelled.items() if x is not None})


@dataclass(frozen=True)
class _Sequences:
    """The same for one number of rounds, the elements in order."""

    fits: list[Any]
    designs: list[Any]
    relabelled: dict[int, list[Any]]


def fit_recursion(system: PooledSystem) -> FitRecursion | None:
    """Return a system as its fits and designs; None if it has weights, covariances, or labels that need more than that."""
    found = _sequences(system)
    if found is None:
        return None
    rows = {Integer(at): stretches(x, fit_index, _first(found.designs[at - 1])) for at, x in found.relabelled.items()}
    designs = stretches(found.designs, design_index, alone=found.relabelled)
    return FitRecursion(Integer(len(found.fits)), stretches(found.fits, fit_index), designs, rows)


def fit_recursion_in_rounds(system: Callable[[int], PooledSystem], least: int = 0) -> FitRecursion | None:
    """Return the same at the symbol ``n``; None if no law is found.

    Args:
        system: Returns the system of a number of rounds.
        least: The least number of rounds that there is.
    """
    known = {c: _sequences(system(c)) for c in range(least, _ROUNDS[-1] + 1)}
    found = _laws({c: x for c, x in known.items() if c in _ROUNDS and x is not None})
    if found is None or found._at(_ROUNDS[-1]) != known[_ROUNDS[-1]]:
        return None
    failing = [c for c, x in known.items() if x is None or found._at(c) != x]
    return replace(found, least=max(failing, default=least - 1) + 1)


def _laws(known: Mapping[int, _Sequences]) -> FitRecursion | None:
    places = {tuple(x.relabelled) for x in known.values()}
    starts = {_first(x.designs[at - 1]) for x in known.values() for at in x.relabelled}
    if len(known) < len(_ROUNDS) or len(places) > 1 or starts - {1}:
        return None
    fits = runs({c: x.fits for c, x in known.items()}, fit_index, rounds)
    designs = runs({c: x.designs for c, x in known.items()}, design_index, rounds)
    relabelled = {
        Integer(at): runs({c: x.relabelled[at] for c, x in known.items()}, fit_index, rounds) for at in places.pop()
    }
    rows = {at: x for at, x in relabelled.items() if x is not None}
    if fits is None or designs is None or len(rows) < len(relabelled):
        return None
    return FitRecursion(fits[-1].last, fits, designs, rows)


def _first(design: Tuple) -> int:
    return int(design[1][0][0])


def _sequences(system: PooledSystem) -> _Sequences | None:
    seen: dict[int, list[tuple[int, PooledDesign]]] = {}
    for k, f in enumerate(system.fits, start=1):
        for x in f.designs:
            seen.setdefault(x.inputs, []).append((k, x))
    if not _plain(system):
        return None
    out = _Sequences([Tuple(f.N, f.ridge) for f in system.fits], [], {})
    for place, views in enumerate(seen.values(), start=1):
        seers, rows = Tuple(*_seers([k for k, _ in views])), [_row(x) for _, x in views]
        shared = _shared_noises([x for _, x in views])
        if all((x.labellers, x.noises) == (views[0][1].labellers, views[0][1].noises) for _, x in views):
            out.designs.append(Tuple(views[0][1].T, seers, *rows[0]))
        elif len(seers) == 1 and len(shared) <= 1:
            out.designs.append(Tuple(views[0][1].T, seers))
            out.relabelled[place] = [_row(x, *shared) for _, x in views]
        else:
            return None
    return out


def _plain(system: PooledSystem) -> bool:
    """Return whether all rows have the common covariance, the weight 1 and labels of one truth that add up to one."""
    return system.covariances == (eigenvalue.name,) and all(
        x.weight == 1 and not x.offsets and (x.truth + sum(c for _, c in x.labellers)).expand() == 1
        for f in system.fits
        for x in f.designs
    )


def _shared_noises(views: list[PooledDesign]) -> set[int]:
    """Return the samples whose noise is in the labels of more than one fit."""
    found = [e.sample for x in views for e in x.noises]
    return {sample for sample in found if found.count(sample) > 1}


def _row(x: PooledDesign, *shared: int) -> Tuple:
    """Return labels, the variance of the noise that is the fit's own, and the amplitude of a shared one."""
    labels = (Tuple(Integer(at + 1), c) for at, c in x.labellers)
    own = Add(*(e.share**2 * e.sigma**2 for e in x.noises if e.sample not in shared))
    return Tuple(Tuple(*labels), own, *(Add(*(e.share * e.sigma for e in x.noises if e.sample == at)) for at in shared))


def _seers(places: list[int]) -> Iterator[Tuple]:
    """Yield the first and last of each run of consecutive places."""
    starts = [at for at in places if at - 1 not in places]
    ends = [at for at in places if at + 1 not in places]
    yield from (Tuple(Integer(a), Integer(b)) for a, b in zip(starts, ends, strict=True))
