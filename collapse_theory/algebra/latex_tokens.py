r"""LaTeX as a list of tokens with their places, and its lines as left- and right-hand sides.

What only sets the page is dropped here: spaces, the sizes of brackets, alignment, environments, labels. A row ends at ``\\`` and
at a comma that is in no bracket; one without a sign of relation goes on with the row before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["RELATIONS", "UPRIGHT", "Line", "Token", "lines_of", "spelled", "tokens_of"]

RELATIONS = {
    "=": "=", r"\geq": ">=", r"\ge": ">=", r"\geqslant": ">=", r"\leq": "<=", r"\le": "<=", r"\leqslant": "<=", "<": "<",
    ">": ">", r"\lt": "<", r"\gt": ">", r"\neq": "!=", r"\ne": "!=", r"\simeq": "=", r"\approx": "=", r"\coloneqq": "=",
}  # fmt: skip
"""What each sign of relation says; an equivalent for large dimensions is an equation between the printed scalars."""

_TOKEN = re.compile(
    r"(?P<skip>[\s~&]+|\\[,;:!> ]|%[^\n]*|\$\$?|\\[\[\]]"
    r"|\\(?:left|right|middle|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits|nonumber|notag|quad|qquad)(?![A-Za-z])\.?"
    r"|\\(?:begin|end)\{[A-Za-z]+\*?\}(?:\{[A-Za-z]*\})?|\\(?:label|tag)\*?\{[^{}]*\})"
    r"|(?P<remark>\\text(?:rm|it)?\{[^{}]*\})"
    r"|(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<row>\\\\(?:\[[^\]]*\])?)|(?P<word>\\[A-Za-z]+|\\[{}|])"
    r"|(?P<letter>[A-Za-z])|(?P<sign>[-+*/^_{}()\[\]=<>,'|!])"
)
_ASIDE = re.compile(r"&&[^\\]*+(?:\\(?:[A-Za-z]++|[,;:! ])[^\\]*+)*?(?=\\\\|\\end|$)")
_OPEN, _CLOSE = frozenset({"(", "[", "{", r"\{"}), frozenset({")", "]", "}", r"\}"})
_SAME = {
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\times": r"\cdot", "*": r"\cdot", r"\ln": r"\log",
    r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]", r"\Vert": r"\|",
    r"\varepsilon": r"\epsilon", r"\varphi": r"\phi", r"\intercal": r"\top",
}  # fmt: skip


_OPERATORS = {
    command: ((font, "word"), ("{", "sign"), *((x, "letter") for x in command[1:]), ("}", "sign"))
    for command, font in ((r"\df", r"\mathrm"), (r"\tr", r"\operatorname"))
}
"""Commands that many papers have for operators."""

UPRIGHT = frozenset({
    r"\mathrm", r"\operatorname", r"\mathsf", r"\mathit", r"\mathbf", r"\mathcal", r"\boldsymbol",
})  # fmt: skip
"""Fonts, which make no other name."""


@dataclass(frozen=True)
class Token:
    """A piece of the text, what kind it is, and where it starts."""

    text: str
    kind: str
    at: int


@dataclass(frozen=True)
class Line:
    """One relation, or one expression if ``sign`` is empty; ``conditional`` if it follows a word such as "for"."""

    left: tuple[Token, ...]
    sign: str
    right: tuple[Token, ...]
    conditional: bool = False


def tokens_of(text: str) -> list[Token] | int:
    r"""Return the tokens of LaTeX, or the place of a character that is in none.

    >>> print(*(x.text for x in tokens_of(r"\dfrac{d}{T}\,\sigma^2")))
    \frac { d } { T } \sigma ^ 2
    """
    found, at = [], 0
    while at < len(text):
        match = _ASIDE.match(text, at) or _TOKEN.match(text, at)
        if match is None:
            return at
        kind = match.lastgroup
        if kind is not None and kind != "skip":
            found.append(Token(_SAME.get(match.group(), match.group()), kind, at))
        at = match.end()
    return _derivatives(found)


def _derivatives(tokens: list[Token]) -> list[Token]:
    r"""Return the tokens with ``\partial_{x} B`` as a name with a subscript, and ``\dot{t}_{21}`` as one with a prime."""
    out: list[Token] = []
    i = 0
    while i < len(tokens):
        if tokens[i].text == r"\dot":
            head = _group(tokens, i + 1)
            end = _subscript(tokens, head)
            out += [*(x for x in tokens[i + 1 : head] if x.text not in {"{", "}"}), *tokens[head:end]]
            out.append(Token("'", "sign", tokens[i].at))
            i = end
            continue
        if tokens[i].text == r"\underbrace":  # what is below the brace is said, not computed
            head = _group(tokens, i + 1)
            out += [
                Token("(", "sign", tokens[i].at),
                *_derivatives(tokens[i + 1 : head]),
                Token(")", "sign", tokens[i].at),
            ]
            i = _subscript(tokens, head)
            continue
        if tokens[i].text in _OPERATORS:
            out += [Token(x, kind, tokens[i].at) for x, kind in _OPERATORS[tokens[i].text]]
            i += 1
            continue
        by = _subscript(tokens, i + 1) if tokens[i].text == r"\partial" else i + 1
        if by == i + 1 or by >= len(tokens) or tokens[by].kind not in {"letter", "word"}:
            out.append(tokens[i])
            i += 1
            continue
        end = _subscript(tokens, by + 1)
        inner = [x for x in (*tokens[by:end], *tokens[i + 2 : by]) if x.text not in {"{", "}", "_"}]
        here = tokens[i].at
        out += [Token("D", "letter", here), Token("_", "sign", here), Token("{", "sign", here), *inner]
        out.append(Token("}", "sign", here))
        i = end
    return out


def _subscript(tokens: Sequence[Token], i: int) -> int:
    """Return where a subscript ends that starts at ``i``; ``i`` if there is none."""
    return _group(tokens, i + 1) if i < len(tokens) and tokens[i].text == "_" else i


def _group(tokens: Sequence[Token], i: int) -> int:
    """Return where a token ends that starts at ``i``, or a group in braces."""
    depth = 0
    for j in range(i, len(tokens)):
        depth += (tokens[j].text == "{") - (tokens[j].text == "}")
        if not depth:
            return j + 1
    return i


def spelled(tokens: Sequence[Token]) -> str:
    """Return the text of a name without its braces and fonts."""
    return "".join(
        x.text[x.text.index("{") + 1 : -1] if x.kind == "remark" else x.text
        for x in tokens
        if x.text not in {"{", "}"} and x.text not in UPRIGHT
    )


def lines_of(tokens: Sequence[Token]) -> list[Line]:
    """Return the lines that tokens make: relations, conditions and expressions, in order."""
    rows: list[Line] = []
    conditional = False
    for piece, starts_row in _pieces(tokens):
        if starts_row:
            conditional = False
        said = _remarks(piece)
        if any(piece[i].text.startswith(r"\text{:") for i in said):  # what a name stands for, in words
            continue
        if said[:1] == [0]:
            conditional = bool(re.search(r"\b(for|if|when|provided|whenever|valid|on)\b", piece[0].text))
        kept = tuple(piece[1 if said[:1] == [0] else 0 : next((i for i in said if i), len(piece))])
        if not kept:
            continue
        at = _relation(kept)
        if at is None and rows and not conditional and starts_row:
            last = rows.pop()
            rows.append(Line(last.left, last.sign, last.right + kept, last.conditional))
        elif at is None:
            rows.append(Line((), "", kept, conditional))
        else:
            rows.append(Line(kept[:at], RELATIONS[kept[at].text], kept[at + 1 :], conditional))
    return rows


def _pieces(tokens: Sequence[Token]) -> Iterator[tuple[list[Token], bool]]:
    """Yield what stands between row ends and commas outside all brackets, and whether it starts a row."""
    piece: list[Token] = []
    depth, starts = 0, True
    for x in tokens:
        depth += (x.text in _OPEN) - (x.text in _CLOSE)
        if x.kind == "row":
            if depth <= 0:
                if piece:
                    yield piece, starts
                piece, starts = [], True
        elif x.text == "," and depth <= 0:
            if piece:
                yield piece, starts
                starts = False
            piece = []
        else:
            piece.append(x)
    if piece:
        yield piece, starts


def _remarks(piece: Sequence[Token]) -> list[int]:
    """Return the places of words between formulas; those in braces belong to a name."""
    found, depth = [], 0
    for i, x in enumerate(piece):
        depth += (x.text in _OPEN) - (x.text in _CLOSE)
        if depth == 0 and x.kind == "remark":
            found.append(i)
    return found


def _relation(piece: Sequence[Token]) -> int | None:
    depth = 0
    for i, x in enumerate(piece):
        depth += (x.text in _OPEN) - (x.text in _CLOSE)
        if depth == 0 and x.text in RELATIONS:
            return i
    return None
