r"""A formula in a reader's own notation: the names in its LaTeX replaced, and no two symbols by one.

What is printed is a sequence of names, and each symbol prints as one name. A name with an index that is no symbol of the formula,
such as :math:`\kappa_2` or :math:`\Sigma_1`, follows its letter.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from collapse_theory.core.arguments import instance
from collapse_theory.core.errors import DomainError, nearest, shown

__all__ = ["GENERIC", "renamed"]

GENERIC = {
    "Sigma": r"\Sigma", "Delta": r"\Delta", "kappa": r"\kappa", "w0": "w_0", "E": "E", "B": "B", "V": "V",
}  # fmt: skip
"""Names that are no symbols of a formula, by the name they have in code; their indices are kept."""

_NAME = re.compile(
    r"(?P<text>\\(?:text|operatorname|begin|end|mathrm|label)\{[^{}]*\})"
    r"|(?P<head>\\[a-zA-Z]+|[a-zA-Z])(?P<index>_(?:\{(?:[^{}]|\{[^{}]*\})*\}|\w))?"
)


def renamed(latex: str, notation: Mapping[str, str], symbols: Mapping[str, str]) -> str:
    r"""Return LaTeX with names replaced.

    Args:
        latex: A formula.
        notation: The new LaTeX name by the name of a symbol in code.
        symbols: How each symbol that a formula may have prints, by its name in code.

    Raises:
        DomainError: If a name is unknown, or two symbols of the formula would print alike.

    >>> renamed(r"\kappa &= \lambda + T_{0}", {"lam": r"\gamma", "T0": "m"}, {"lam": r"\lambda", "T0": "T_{0}"})
    '\\kappa &= \\gamma + m'
    >>> renamed("H_{n} + n^{2}", {"n": "k"}, {"n": "n"})
    'H_{k} + k^{2}'
    """
    instance(notation, Mapping, "notation", 'write {"T": "n", "lam": r"\\gamma"}', DomainError)
    known = {**GENERIC, **symbols}
    for name, text in notation.items():
        if not isinstance(name, str) or name not in known:
            raise DomainError(f"notation has no symbol {shown(name)}{nearest(str(name), known)}")
        if not isinstance(text, str) or not text.strip():
            raise DomainError(f"notation of {name} needs LaTeX, got {shown(text)}; write a name")
    change = {_plain(known[name]): text for name, text in notation.items()}
    printed = {_plain(x) for x in symbols.values()}
    seen: dict[str, str] = {}

    def new(match: re.Match[str]) -> str:
        if match["text"]:
            return match[0]
        head, index = match["head"], match["index"] or ""
        whole = _plain(head + index)
        if whole in change or whole in printed:
            out = change.get(whole, match[0])
            _keep(seen, _plain(out), whole)
            follows = latex[match.end() : match.end() + 1]
            return f"{{{out}}}" if "^" in out and follows == "^" else out + " " * _glued(out, follows)
        if index:
            inner = _NAME.sub(new, index[1:])
            return _letter(head, change, printed) + "_" + inner
        return _letter(head, change, printed) if head in change else match[0]

    return _NAME.sub(new, latex)


def _letter(head: str, change: Mapping[str, str], printed: Collection[str]) -> str:
    """Return the letter of an indexed name: a new one if it stands for no symbol of its own."""
    return change[head] if head in change and head in GENERIC.values() and head not in printed else head


def _glued(name: str, follows: str) -> bool:
    """Return whether a name that ends in a command needs a space before what follows it."""
    return bool(re.search(r"\\[a-zA-Z]+$", name)) and follows.isalpha()


def _keep(seen: dict[str, str], new: str, old: str) -> None:
    if seen.setdefault(new, old) != old:
        raise DomainError(f"notation needs one name per symbol, got {new} for {seen[new]} and {old}; use another name")


def _plain(name: str) -> str:
    return name.replace("{", "").replace("}", "").replace(" ", "")
