"""What the explorer shows, as one immutable object that a link carries.

The words are those of the command line: a slug or the text of a pipeline file, ``powerlaw:d=300,beta=1.5``, ``source:r=0.5``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlencode

from collapse_theory.core.errors import DomainError, ParseError, shown
from collapse_theory.describe import strings
from collapse_theory.describe.data import dataset
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.describe.targets import Target

__all__ = ["State"]

_WORDS = (
    "pipeline",
    "over",
    "spectrum",
    "target",
)  # none is the name of a symbol (symbols.RESERVED, or no identifier of one)
_LONGEST = 20_000  # characters of a link
_DIRECTIONS = 3000  # what a page can simulate
_DATA = "data:"


@dataclass(frozen=True)
class State:
    """A pipeline, its inputs, and where its sliders stand.

    Attributes:
        pipeline: A slug of the catalogue, or the text of a pipeline file.
        over: The name of what the curve is drawn over.
        spectrum: ``powerlaw:d=300,beta=1.5`` and the like, or ``data:digits``; no file.
        target: ``source:r=0.5`` or ``random:norm2=1``; ``data:digits`` with the same spectrum.
        values: By name of a symbol, or of an argument that counts rounds; those that are missing stand where they start.

    Raises:
        ParseError: If a text is not understood.
        DomainError: If a number is not finite, or the inputs have more than 3000 directions.

    >>> state = State("ridge-clean", values={"T": 600})
    >>> state.query()
    'pipeline=ridge-clean&over=lam&spectrum=powerlaw%3Ad%3D300%2Cbeta%3D1.5&target=source%3Ar%3D0.5&T=600'
    >>> State.of(state.query()) == state
    True
    """

    pipeline: str
    over: str = "lam"
    spectrum: str = "powerlaw:d=300,beta=1.5"
    target: str = "source:r=0.5"
    values: Mapping[str, int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Freeze the values and refuse what no page can show."""
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        for name, value in self.values.items():
            if not math.isfinite(value):
                raise DomainError(f"{name} needs to be a finite number, got {value}; move its slider")
        self.measures()

    def measures(self) -> tuple[Spectrum, Target]:
        """Return the spectrum and the target."""
        return _measures(self.spectrum, self.target)

    def query(self) -> str:
        """Return the state as the query of a link."""
        words = {name: getattr(self, name) for name in _WORDS}
        return urlencode(words | {name: repr(value) for name, value in self.values.items()})

    @classmethod
    def of(cls, query: str) -> State:
        """Return the state that the query of a link says.

        Raises:
            ParseError: If it is too long, says a name twice, no pipeline, or something that is no number.
            DomainError: As in the constructor.
        """
        if len(query) > _LONGEST:
            raise ParseError(f"a link needs at most {_LONGEST} characters, got {len(query)}; shorten the pipeline")
        said: dict[str, str] = {}
        for name, text in parse_qsl(query, keep_blank_values=True):
            if name in said:
                raise ParseError(f"a link needs to say {shown(name)} once, got it twice; remove one")
            said[name] = text
        if not said.get("pipeline"):
            raise ParseError("a link needs a pipeline, got none; write for example pipeline=ridge-replace")
        words: dict[str, Any] = {name: said.pop(name) for name in _WORDS if name in said}
        return cls(**words, values={name: _number(name, text) for name, text in said.items()})


def _number(name: str, text: str) -> int | float:
    try:
        value = float(text)
    except ValueError as e:
        raise ParseError(f"a link needs numbers, got {name}={shown(text)}; write for example {name}=0.5") from e
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


@lru_cache(maxsize=256)
def _measures(spectrum: str, target: str) -> tuple[Spectrum, Target]:
    if spectrum.startswith(_DATA):
        if target != spectrum:
            raise ParseError(
                f"target needs to be {spectrum} with that spectrum, got {shown(target)}; take both or neither"
            )
        data = dataset(spectrum.removeprefix(_DATA))
        return data.spectrum, data.target
    for what, text in (("spectrum", spectrum), ("target", target)):
        if text.partition(":")[0].strip() in {"file", "coefficients"}:  # a link opens no file
            raise ParseError(
                f"{what} needs to be written out in the explorer, got {shown(text)}; files are for ct.test_error"
            )
    eigenvalues, energies = strings.spectrum(spectrum), strings.target(target)
    if not (eigenvalues.d.is_Integer and eigenvalues.d <= _DIRECTIONS):
        raise DomainError(
            f"spectrum needs d of at most {_DIRECTIONS} in the explorer, got {eigenvalues.d}; take a smaller d"
        )
    energies.check(eigenvalues)
    return eigenvalues, energies
