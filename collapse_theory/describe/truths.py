r"""Several true coefficients: :math:`w_0`, by which models are tested, and those of other tasks, direction by direction.

What a test error depends on is bilinear in them. It is written in :math:`w_0` and the offsets :math:`w_u-w_0`, so that nothing
cancels where two tasks are nearly one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError, nearest, shown
from collapse_theory.core.numbers import float64_number, real, real_array
from collapse_theory.core.precision import exact_context, exact_number
from collapse_theory.describe.nodes import TRUTH
from collapse_theory.describe.spectra import PowerLaw, Spectrum, real_number
from collapse_theory.describe.targets import Coefficients, Energies, RandomTarget, Target

__all__ = ["ENERGIES", "Pair", "Tasks", "Truths", "given_target", "pair_of"]

Pair = tuple[str, str]
"""Names of two truths, or of one twice; ``w0`` is the tested one itself, another name the offset from it."""

Tasks = Mapping[Any, Any]
"""Several truths as they are given: targets by name, and overlaps by pair of names."""

ENERGIES = (TRUTH.name, TRUTH.name)
"""The pair of the energies of ``w0``."""

_BITS = 4 * 53  # of differences of energies, before they are rounded
_ROUNDED = 1e-9


def pair_of(first: str, second: str) -> Pair:
    """Return two truths in the order in which they are kept: the tested one first, the others by name.

    >>> pair_of("b", "w0"), pair_of("b", "a")
    (('w0', 'b'), ('a', 'b'))
    """
    one, two = sorted((first, second), key=lambda name: (name != TRUTH.name, name))
    return one, two


@dataclass(frozen=True, eq=False)
class Truths(Target):
    r"""The true coefficients of several tasks in one eigenbasis.

    Args:
        targets: Each truth by name, "w0" among them.
        overlaps: The products :math:`w_{u,j}w_{v,j}` of each two that are not both :class:`~.Coefficients`, which have signs: an
            array of shape (d,), or of two :class:`~.RandomTarget` the number :math:`\mathbb E\,w_u^\top w_v`.

    Raises:
        DomainError: If a name is missing or unknown, or an overlap is missing, superfluous or of the wrong kind.

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> tasks = Truths({"w0": Coefficients([1.0, 2.0]), "w1": Coefficients([1.0, -1.0])})
    >>> tasks.offsets(Isotropic(2))[("w1", "w1")]
    array([0., 9.])
    """

    targets: Mapping[str, Target]
    overlaps: Mapping[Pair, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what is given, and put it in order."""
        for name, target in self.targets.items():
            if not isinstance(target, Target) or isinstance(target, Truths):
                raise DomainError(
                    f"target needs a target for each truth ({shown(name)}), got {shown(target)}; write ct.Coefficients(values)"
                )
        if TRUTH.name not in self.targets:
            raise DomainError(
                f"target needs the truth 'w0', by which models are tested, got {', '.join(map(repr, self.targets)) or 'none'}; "
                "add 'w0': ct.Coefficients(values)"
            )
        names = sorted(self.targets, key=lambda name: (name != TRUTH.name, name))
        object.__setattr__(self, "targets", {name: self.targets[name] for name in names})
        object.__setattr__(self, "overlaps", self._checked(self.overlaps))

    def _checked(self, overlaps: Mapping[Any, Any]) -> dict[Pair, Any]:
        out: dict[Pair, Any] = {}
        for key, value in overlaps.items():
            if not (isinstance(key, tuple) and len(key) == 2 and key[0] != key[1]):
                raise DomainError(f"overlaps needs pairs of two truths, got {shown(key)}; write ('w0', 'w1')")
            for name in key:
                if name not in self.targets:
                    raise DomainError(
                        f"overlaps needs truths with a target, got {shown(name)}{nearest(str(name), self.targets)}"
                    )
            if pair_of(*key) in out:
                raise DomainError(f"overlaps needs each pair once, got {shown(key)} in both orders; leave one out")
            out[pair_of(*key)] = self._overlap(pair_of(*key), value)
        for pair in combinations(self.targets, 2):
            if pair not in out and not self._signed(*pair):
                raise DomainError(
                    f"target needs the overlap of {pair[0]} and {pair[1]}, got none: energies have no signs; give "
                    f"overlaps={{{pair!r}: values}}, or ct.Coefficients for both"
                )
        return out

    def _overlap(self, pair: Pair, value: Any) -> Any:
        if self._signed(*pair):
            raise DomainError(f"overlaps of coefficients are their products, got another one for {pair}; leave it out")
        if np.ndim(value) > 0:
            return real_array(value, f"overlaps[{pair!r}]")
        if not all(isinstance(self.targets[name], RandomTarget) for name in pair):
            raise DomainError(
                f"overlaps[{pair!r}] needs an array with one product per direction, got {shown(value)}; a number is the overlap "
                "of two ct.RandomTarget"
            )
        return real(value, f"overlaps[{pair!r}]")

    def _signed(self, *names: str) -> bool:
        return all(isinstance(self.targets[name], Coefficients) for name in names)

    # ------------------------------------------------------------------ the tested truth alone
    def energies(self, spectrum: Spectrum) -> np.ndarray:
        """Return the energies of ``w0``."""
        return self.targets[TRUTH.name].energies(spectrum)

    def exact_energies(self, spectrum: Spectrum, mp: Any) -> list[Any]:
        """Return the energies of ``w0`` in the mpmath context ``mp``."""
        return self.targets[TRUTH.name].exact_energies(spectrum, mp)

    def atom_energies(self, spectrum: Spectrum) -> np.ndarray:
        """Return the energy of ``w0`` in the eigenspace of each atom."""
        return self.targets[TRUTH.name].atom_energies(spectrum)

    def exact_atom_energies(self, spectrum: Spectrum, mp: Any) -> list[Any]:
        """Return the same in the mpmath context ``mp``."""
        return self.targets[TRUTH.name].exact_atom_energies(spectrum, mp)

    def law(self, spectrum: PowerLaw, mp: Any) -> tuple[Any, Any] | None:  # noqa: ARG002 - offsets are no power
        """Return None: several truths are listed."""
        return None

    def check(self, spectrum: Spectrum) -> None:
        """Check that every truth goes with the spectrum, and that the overlaps are those of some coefficients."""
        if spectrum.endless:
            raise DomainError("several truths need a finite d, got d=oo; take a finite d")
        for target in self.targets.values():
            target.check(spectrum)
        for pair, value in self.overlaps.items():
            if isinstance(value, np.ndarray) and value.size != spectrum.dimension:
                raise DomainError(
                    f"overlaps[{pair!r}] needs one product per eigenvalue (d={spectrum.dimension}), got {value.size}; give all "
                    "of them"
                )
        if not self._signed(*self.targets):
            self.components(spectrum)

    # ------------------------------------------------------------------ all of them
    def offsets(self, spectrum: Spectrum) -> dict[Pair, np.ndarray]:
        """Return the products of ``w0`` and of the offsets from it, direction by direction, float64, each of shape (d,).

        Returns:
            By pair of truths, the energies of ``w0`` left out.

        Raises:
            DomainError: If one overflows.
        """
        if self._signed(*self.targets):
            with np.errstate(over="ignore", under="ignore"):
                out = self._of_coefficients(lambda w: w)
        else:
            with exact_context(_BITS) as mp:
                exact = self.exact_offsets(spectrum, mp)
            out = {pair: np.array([float(x) for x in values]) for pair, values in exact.items()}
        for (u, v), values in out.items():
            if not np.isfinite(values).all():
                raise DomainError(
                    f"target needs products of {u} and {v} below 1.8e308 in float64, got more; rescale the target"
                )
        return out

    def exact_offsets(self, spectrum: Spectrum, mp: Any) -> dict[Pair, np.ndarray]:
        """Return the same at the working precision of the context ``mp``."""
        if self._signed(*self.targets):
            return self._of_coefficients(lambda w: np.array([mp.mpf(float(x)) for x in w], dtype=object))
        G = self._products(spectrum, mp)
        out = {}
        for u, v in G:
            a, b = pair_of(TRUTH.name, u), pair_of(TRUTH.name, v)
            if u != TRUTH.name:
                out[u, v] = G[u, v] - G[a] - G[b] + G[ENERGIES]
            elif v != TRUTH.name:
                out[u, v] = G[u, v] - G[ENERGIES]
        return out

    def _of_coefficients(self, number: Callable[[np.ndarray], np.ndarray]) -> dict[Pair, np.ndarray]:
        w: dict[str, Any] = {name: number(np.asarray(x.values)) for name, x in self.targets.items()}  # type: ignore[attr-defined]
        w0 = w[TRUTH.name]
        v = {name: x if name == TRUTH.name else x - w0 for name, x in w.items()}
        pairs = [(a, b) for i, a in enumerate(v) for b in list(v)[i:] if (a, b) != ENERGIES]
        return {(a, b): v[a] * v[b] for a, b in pairs}

    def _products(self, spectrum: Spectrum, mp: Any) -> dict[Pair, np.ndarray]:
        """Return the products of each two truths, and the energies."""
        out: dict[Pair, Any] = {}
        for i, a in enumerate(self.targets):
            out[a, a] = self.targets[a].exact_energies(spectrum, mp)
            for b in list(self.targets)[i + 1 :]:
                given = self.overlaps.get((a, b))
                if given is None:
                    pairs = zip(*(np.asarray(self.targets[x].values) for x in (a, b)), strict=True)  # type: ignore[attr-defined]
                    out[a, b] = [mp.mpf(float(x)) * mp.mpf(float(y)) for x, y in pairs]
                elif isinstance(given, np.ndarray):
                    out[a, b] = [mp.mpf(float(x)) for x in given]
                else:
                    d = spectrum.listed
                    out[a, b] = [exact_number(real_number(given, self), mp) / d] * d
        return {pair: np.array(x, dtype=object) for pair, x in out.items()}

    def components(self, spectrum: Spectrum) -> np.ndarray:
        """Return coefficients of all truths, as a sum over parts: independent random signs of the parts give the overlaps.

        Returns:
            Float64, shape (parts, truths, d), the truths in their order; one part if all of them are :class:`~.Coefficients`.

        Raises:
            DomainError: If no coefficients have these energies and overlaps.
        """
        names = list(self.targets)
        if self._signed(*names):
            return np.stack([np.asarray(x.values) for x in self.targets.values()])[None]  # type: ignore[attr-defined]
        with exact_context(53) as mp:
            products = self._products(spectrum, mp)
        G = np.empty((spectrum.listed, len(names), len(names)))
        for (a, b), values in products.items():
            i, j = names.index(a), names.index(b)
            G[:, i, j] = G[:, j, i] = [float(x) for x in values]
        share, vectors = np.linalg.eigh(G)
        bad = np.flatnonzero(share[:, 0] < -_ROUNDED * np.trace(G, axis1=1, axis2=2))
        if bad.size:
            raise DomainError(
                f"overlaps need to be those of coefficients with these energies, at most sqrt(e_u e_v), got more in direction "
                f"{bad[0]}: {G[bad[0]].tolist()}; reduce the overlap"
            )
        return np.ascontiguousarray(
            np.moveaxis(vectors * np.sqrt(np.maximum(share, 0))[:, None, :], 0, -1).swapaxes(0, 1)
        )

    def repeated(self, spectrum: Spectrum, times: int) -> Truths:
        """Return the same truths in every direction that many times, with that share of its energy each."""

        def spread(target: Target) -> Target:
            if isinstance(target, Coefficients):
                return Coefficients(np.repeat(np.asarray(target.values) / np.sqrt(times), times))
            return Energies(np.repeat(target.energies(spectrum) / times, times))

        d = spectrum.listed
        overlaps = {
            pair: np.repeat(
                (x if isinstance(x, np.ndarray) else np.full(d, float64_number(x, "overlaps") / d)) / times, times
            )
            for pair, x in self.overlaps.items()
        }
        return Truths({name: spread(x) for name, x in self.targets.items()}, overlaps)


def given_target(target: Any, overlaps: Any = None) -> Target | None:
    """Return what is given as a target: one, or several truths by name.

    Args:
        target: A target, or a mapping from names of truths to targets, and from pairs of names to overlaps.
        overlaps: More overlaps, a mapping from pairs of names.

    Raises:
        DomainError: If it is something else.
    """
    if not isinstance(target, Mapping):
        if overlaps is not None:
            raise DomainError(
                f"overlaps needs a target for each truth, got target={shown(target)}; write target={{'w0': ..., 'w1': ...}}"
            )
        if not isinstance(target, Target | None):
            raise DomainError(
                f"target needs to be a Target, got {shown(target)}; for an array use ct.Energies or ct.Coefficients"
            )
        return target
    if not isinstance(overlaps, Mapping | None):
        raise DomainError(
            f"overlaps needs a mapping from pairs of truths, got {shown(overlaps)}; write {{('w0', 'w1'): values}}"
        )
    named = {key: x for key, x in target.items() if not isinstance(key, tuple)}
    return Truths(named, {**{key: x for key, x in target.items() if isinstance(key, tuple)}, **(overlaps or {})})
