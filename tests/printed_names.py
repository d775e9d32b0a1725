"""The names on a printed page: those that nothing defines, and those that nothing uses. It knows words and brackets, no algebra."""

import re

from tests.latex_reader import rows

__all__ = ["loose_names"]

_INDEX = r"_(?:\{(?:[^{}]|\{[^{}]*\})*\}|\w)"
_HEAD = r"\\(?:mathcal|dot)\{(?:[^{}]|\{[^{}]*\})*\}|\\[a-zA-Z]+|[a-zA-Z]"
_NAME = re.compile(rf"(?P<partial>\\partial_\{{[^{{}}]*\}} )?(?P<head>{_HEAD})(?P<mark>'*)(?P<index>{_INDEX})?'*")
_WORDS = re.compile(r"\\(?:text|begin|end)\{[^{}]*\}|\\(?:operatorname|mathrm)\{(?:tr|df|diag)\}(?:_\{?\w\}?)?")
_SIGNS = re.compile(
    r"\\(?:frac|left|right|sqrt|sum|oint|quad|qquad|[bB]igg?[lr]|top|min|max|leq?|geq?|cdot|partial|pi|psi|Gamma|sin|cos|log|zeta"
    r"|times|mathrm)|[IHe]"
)


def loose_names(text, known):
    """Return what an ``aligned`` block uses and does not define, and what it defines and does not use.

    Args:
        text: The block.
        known: Names that need no definition: symbols, covariances and truths, as they print.
    """
    (_, first), *others = rows(text)
    known = {_plain(x).removesuffix("^2") for x in known} | {"w_0"}
    if "Q_{kl}" in text:  # the recursion over fits and designs
        known |= {"i", "j", "k", "l", "D", r"\delta"}
    if r"\sum_{" in text:
        known |= {"i", "k"}
    if r"\oint" in text:
        known |= {"d", "z", "z_1", "z_2"}
    if "[M]" in text:
        known.add("M")
    defined, used = [], _names(first)
    for left, right in others:
        names = [x for x in _names(left) if x not in known] or [_plain(left)]
        defined.append(names[0])
        used += [x for x in _names(right) if x != names[0]]
    undefined = {x for x in used if not _among(x, known) and not _among(x, defined)}
    return undefined, {x for x in defined if not _among(x, used)}


def _names(side):
    """Return the names on one side of an equation, in order."""
    plain = _WORDS.sub(" ", side)
    found = []
    for m in _NAME.finditer(plain):
        name = _plain((m["partial"] or "") + m["head"] + m["mark"] + (m["index"] or ""))
        if not _SIGNS.fullmatch(m["head"]):
            found.append(name)
        if m["index"] and r"\mathrm" not in m["index"]:  # the number of rounds, in an index
            found += [x for x in _names(m["index"][1:]) if x == "n"]
    return found


def _among(name, names):
    """Return whether a name is among others, or one of a family that has a letter for an index."""
    return name in names or any(
        name.split("_")[0] == x.split("_")[0] for x in names if _is_family(x) or _is_family(name)
    )


def _is_family(name):
    return bool(re.search(r"_.*[klijDn]$|_.*[klijDn],", name)) or name == r"\delta"


def _plain(name):
    return re.sub(r"[{}\s]|\\mathrm", "", name)
