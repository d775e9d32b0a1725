r"""The short strings of pipeline files that name a family: ``zipf:tokens=100,beta=1``, ``gaussian:d=10``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from collapse_theory.core.numbers import real
from collapse_theory.describe.strings import described
from collapse_theory.families.averaging import Averaging
from collapse_theory.families.categorical import Categorical
from collapse_theory.families.gaussian import Gaussian

__all__ = ["family_of"]

_MOST_TOKENS = 10**6


@dataclass(frozen=True)
class _Zipf:
    """Tokens of probabilities ``p_i`` in proportion to ``i**-beta``; equal ones at ``beta = 0``."""

    tokens: Any
    beta: Any = 1

    def family(self) -> Categorical:
        number = int(real(self.tokens, "tokens", positive=True, integer=True, number=True, most=_MOST_TOKENS))
        p = np.arange(1.0, number + 1) ** -float(real(self.beta, "beta", nonnegative=True, number=True))
        return Categorical(p / p.sum())


_KINDS: Mapping[str, Callable[..., Any]] = {"zipf": _Zipf, "gaussian": Gaussian}


def family_of(text: str, base: Path | str = ".") -> Averaging:
    """Return the family that ``text`` denotes.

    Args:
        text: ``zipf:tokens=100,beta=1`` (``p_i`` in proportion to ``i**-beta``), ``file:PATH`` with the probabilities of
            tokens, or ``gaussian:d=10``.
        base: Directory that a relative path starts from.

    Raises:
        ParseError: If the text has an unknown kind or keyword, or the file cannot be read.
        DomainError: If a value is out of range.

    >>> family_of("zipf:tokens=100,beta=1"), family_of("gaussian:d=10")
    (Categorical(100 tokens), Gaussian(d=10))
    """
    found = described(text, "family", _KINDS, Categorical, Path(base))
    return found.family() if isinstance(found, _Zipf) else found
