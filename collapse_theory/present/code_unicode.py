r"""The print of a formula as text for a terminal: the LaTeX that is printed, sign by sign.

Fractions become quotients with the brackets that a reader needs, exponents and indices the small digits of Unicode where there are
such, and everything else keeps its place: what LaTeX says, the text says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from collapse_theory.core.errors import DomainError
from collapse_theory.derive.formula import ErrorFormula
from collapse_theory.present.latex import formula_latex

__all__ = ["unicode_text"]

_WORDS = {
    **dict(zip(
        r"""\alpha \beta \gamma \delta \epsilon \varepsilon \zeta \eta \theta \kappa \lambda \mu \nu \xi \pi \rho \sigma \tau \phi
        \varphi \chi \psi \omega \ell \Gamma \Delta \Theta \Lambda \Xi \Pi \Sigma \Phi \Psi \Omega""".split(),  # noqa: SIM905
        "αβγδεεζηθκλμνξπρστφφχψωℓΓΔΘΛΞΠΣΦΨΩ", strict=True,
    )),
    r"\geq": "≥", r"\ge": "≥", r"\leq": "≤", r"\le": "≤", r"\neq": "≠", r"\in": "∈", r"\to": "→", r"\simeq": "≃", r"\gtrless": "≷",
    r"\infty": "∞", r"\partial": "∂", r"\cdot": "·", r"\times": "×", r"\mapsto": "↦", r"\top": "ᵀ", r"\|": "‖",
    r"\{": "{", r"\}": "}",
    r"\sum": "∑", r"\min": "min", r"\max": "max", r"\sin": "sin", r"\cos": "cos", r"\tan": "tan", r"\log": "log", r"\exp": "exp",
    r"\,": " ", r"\ ": " ", r"\;": " ", r"\:": " ", r"\!": "", r"\quad": "  ", r"\qquad": "    ", r"\_": "_", r"\prime": "′",
    "~": " ", "&": "", "&&": "   ",
}  # fmt: skip
_FONTS = frozenset({r"\mathrm", r"\operatorname", r"\mathcal", r"\mathbb", r"\text", r"\boldsymbol"})
_SIZES = frozenset(rf"\{x}{y}" for x in ("big", "Big", "bigg", "Bigg") for y in ("", "l", "r", "m")) | {
    r"\left",
    r"\right",
}
_ABOVE = dict(zip("0123456789+-()niTkj", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱᵀᵏʲ", strict=True))
_BELOW = dict(zip("0123456789+-()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
_TOKEN = re.compile(r"\\\\|\\(?:begin|end)\{[a-z]+\*?\}|\\[A-Za-z]+|\\.|&&|\s+|.", re.DOTALL)
_FACTOR = re.compile(r"[\wͰ-Ͽ∑√(\[ℓ‖]")


def unicode_text(formula: ErrorFormula) -> str:
    """Return the lines of a formula as text.

    Raises:
        DomainError: If its LaTeX has a sign that has no text.

    >>> import collapse_theory as ct
    >>> print(unicode_text(ct.catalog["ridge-clean"].error))
    E = B + V
    B = T κ² w₀ᵀ Σ (Σ + κ I)⁻² w₀ / (T - df₂(κ))    (bias)
    V = σ² df₂(κ) / (T - df₂(κ))    (variance)
    κ = λ + κ df₁(κ) / T
    """
    return _Text(formula_latex(formula)).lines()


class _Text:
    """A LaTeX text that is read from left to right."""

    def __init__(self, latex: str) -> None:
        self.tokens = [x for x in _TOKEN.findall(latex) if not x.startswith((r"\begin", r"\end"))]
        self.at = 0

    def lines(self) -> str:
        """Return the rows, those without a left-hand side indented."""
        rows = self._until(None).split("\n")
        tidy = [re.sub(r"(?<=\S) +(?=[,;)\]])|(?<=[(\[]) +", "", row.rstrip()) for row in rows]
        return "\n".join(re.sub(r"(?<=\S)  ?(?=\S)", " ", row) for row in tidy if row)

    def _until(self, close: str | None) -> str:
        """Return the text up to a closing sign, which is taken."""
        out = ""
        while self.at < len(self.tokens):
            sign = self.tokens[self.at]
            self.at += 1
            if sign == close:
                return out
            out += self._one(sign, out)
        return out

    def _one(self, sign: str, before: str) -> str:
        if sign.isspace():
            return " " if before and before[-1] not in " \n" else ""
        if sign == r"\\":
            self._skip()
            return "\n"
        if sign == "&" and before[-1:] in {"", "\n"}:
            return "  "
        if sign in _SIZES:
            return "" if self.tokens[self.at] != "." else self._dropped()
        if sign == r"\frac":
            return self._quotient()
        if sign in _GROUPS:
            return _GROUPS[sign](self._group())
        if sign == "{":
            return self._until("}")
        if sign.startswith("\\") and sign not in _WORDS:
            raise DomainError(f"code('unicode') needs signs that have text, got {sign}; use latex()")
        return _WORDS.get(sign, sign)

    def _dropped(self) -> str:
        self.at += 1
        return ""

    def _skip(self) -> None:
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1

    def _group(self) -> str:
        """Return the text of the group or the sign that comes next."""
        self._skip()
        sign = self.tokens[self.at]
        self.at += 1
        return self._until("}").strip() if sign == "{" else self._one(sign, "").strip()

    def _quotient(self) -> str:
        """Return a quotient; in brackets where another factor follows, which would seem to stand below."""
        above, below = self._group(), self._group()
        text = f"{_bracketed(above, product=True)} / {_bracketed(below)}"
        rest = next((x for x in self.tokens[self.at :] if not x.isspace() and x not in _SIZES and x != r"\,"), "")
        follows = rest in {"^", r"\frac", *_FONTS, r"\|"} or bool(_FACTOR.match(_WORDS.get(rest, rest)))
        return f"({text})" if follows and rest not in {r"\quad", r"\qquad", r"\text"} else text


def _bracketed(text: str, *, product: bool = False) -> str:
    """Return what stands in a quotient or under a root, in brackets unless it is one piece (or a product, above)."""
    depth, outside = 0, ""
    for x in text:
        depth -= x in ")]"
        outside += x if depth == 0 else ""
        depth += x in "(["
    parts = outside.strip()
    one = " " not in parts if not product else not re.search(r" [-+/] |^-", parts)
    return text if one else f"({text})"


def _raised(text: str) -> str:
    if text == "ᵀ" or set(text) <= {"′", "'"}:
        return text
    small = text.replace(" ", "")
    return "".join(map(_ABOVE.__getitem__, small)) if set(small) <= _ABOVE.keys() else f"^{_bracketed(text)}"


def _lowered(text: str) -> str:
    small = text.replace(" ", "")
    if len(small) <= _FEW and set(small) <= _BELOW.keys():
        return "".join(map(_BELOW.__getitem__, small))
    return f"_{text}" if text.isalnum() else f"_({text})"


_FEW = 3  # letters that are still read when they are small

_GROUPS: Mapping[str, Callable[[str], str]] = {
    r"\sqrt": lambda text: f"√{_bracketed(text)}",
    r"\hat": lambda text: f"{text}\N{COMBINING CIRCUMFLEX ACCENT}",
    "^": _raised,
    "_": _lowered,
    **dict.fromkeys(_FONTS, str),
}
"""What becomes of the group behind a sign."""
