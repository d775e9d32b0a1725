"""Where a mistake can be planted: every place of the package at which one of a fixed list of operators applies.

A site is a span of bytes and what stands there instead. What cannot matter is no site, by construction: docstrings, annotations,
imports, the texts of errors, caches and other decorators, ``__repr__``, and constants so small that they are round-off.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

__all__ = ["OPERATORS", "Site", "draw", "sites_of", "sites_of_package"]

OPERATORS = {
    "sign": "plus and minus exchanged, a minus dropped",
    "factor": "product and quotient exchanged, a power or a constant changed",
    "term": "one side of a sum or a product dropped",
    "index": "an index, a bound of a slice or of a range off by one",
    "comparison": "strict and not strict, equal and unequal, in and not in, is and is not exchanged",
    "condition": "a guard skipped, one part of a condition dropped, a filter ignored, a branch exchanged",
    "swap": "two neighbouring arguments or entries exchanged",
    "option": "an argument with a default ignored by a function, or left out of a call",
    "flag": "True and False exchanged",
    "statement": "a call made for its effect left out",
    "latex": "a sign or a relation in printed mathematics changed",
}

_FLIPPED = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.In: "not in", ast.NotIn: "in",
    ast.Is: "is not", ast.IsNot: "is",
}  # fmt: skip
_RELATIONS = {"Ge": "Gt", "Gt": "Ge", "Le": "Lt", "Lt": "Le", "Eq": "Ne", "Ne": "Eq"}
_SYMMETRIC = {
    "isinstance", "issubclass", "max", "min", "Add", "Mul", "And", "Or", "Max", "Min", "hypot", "gcd", "lcm", "Eq", "Ne", "Union",
    "maximum", "minimum", "add", "multiply", "array_equal", "isclose", "allclose", "print", "getattr", "hasattr", "setattr", "cast",
    "TypeVar", "outer_sum",
}  # fmt: skip
# Left out of a call these change nothing that a test can see, or only words.
_SILENT = {
    "help", "metavar", "epilog", "title", "hypotheses", "note", "strict", "stacklevel", "encoding", "repr", "compare", "init",
    "no_args_is_help", "add_completion", "pretty_exceptions_enable", "rich_markup_mode", "maxsize", "bound", "modules", "cse",
}  # fmt: skip
_SKIPPED_CALLS = {
    "cast",
    "TypeVar",
    "field",
    "lru_cache",
    "dataclass",
    "Typer",
    "command",
    "Option",
    "Argument",
    "attach",
}
_LATEX = (
    (r"(?<![\w{^-])-(?=[\w\\({ ])", "+"), (r"\+", "-"), (r"\\ge(q?)(?![a-z])", r"\\le\1"), (r"\\le(q?)(?![a-z])", r"\\ge\1"),
    (r"(?<= )<(?= )", ">"), (r"(?<= )>(?= )", "<"), (r"\^\{-", "^{"), (r"(?<![:=!<>])=(?!=)", r"\\ne "),
)  # fmt: skip


@dataclass(frozen=True)
class Site:
    """One mistake: the bytes ``start:stop`` of ``file`` become ``text``."""

    file: str
    line: int
    function: tuple[int, int]
    operator: str
    start: int
    stop: int
    text: str

    def plant(self, source: bytes) -> bytes:
        """Return the source with the mistake in it."""
        return source[: self.start] + self.text.encode() + source[self.stop :]


def sites_of_package(root: Path, package: str = "collapse_theory") -> list[Site]:
    """Return every site of a package, in the order of files and bytes."""
    return [
        s for path in sorted((root / package).rglob("*.py")) for s in sites_of(path, path.relative_to(root).as_posix())
    ]


def sites_of(path: Path, name: str) -> list[Site]:
    """Return every site of one file; a mistake that would not even compile is dropped when it is drawn."""
    source = path.read_bytes()
    walk = _Walk(source, name)
    walk.visit(ast.parse(source))
    unique = {(s.start, s.stop, s.text): s for s in walk.sites if source[s.start : s.stop] != s.text.encode()}
    return sorted(unique.values(), key=lambda s: (s.start, s.stop, s.operator, s.text))


def draw(sites: list[Site], root: Path, count: int, seed: int) -> list[Site]:
    """Return ``count`` sites drawn by ``seed``, each of which compiles, no two at the same bytes."""
    drawn: dict[tuple[str, int], Site] = {}
    for s in random.Random(seed).sample(sites, len(sites)):
        if len(drawn) == count:
            break
        if (s.file, s.start) not in drawn and _compiles(s.plant((root / s.file).read_bytes())):
            drawn[s.file, s.start] = s
    return list(drawn.values())


def _compiles(source: bytes) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


class _Walk(ast.NodeVisitor):
    """Collect the sites of one file."""

    def __init__(self, source: bytes, name: str) -> None:
        self.source, self.name = source, name
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.sites: list[Site] = []
        self.rows: set[ast.Tuple] = (
            set()
        )  # displays whose order is read by someone: arguments, entries of a list, results
        self.function = (1, len(self.starts))
        self.printing = name.startswith("collapse_theory/present/") or name.endswith("printing.py")

    # ------------------------------------------------------------ spans

    def span(self, node: ast.AST) -> tuple[int, int]:
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.AST) -> str:
        start, stop = self.span(node)
        return self.source[start:stop].decode()

    def put(self, operator: str, node: ast.AST, text: str, start: int | None = None, stop: int | None = None) -> None:
        first, last = self.span(node)
        first, last = first if start is None else start, last if stop is None else stop
        line = self.source.count(b"\n", 0, first) + 1
        self.sites.append(Site(self.name, line, self.function, operator, first, last, text))

    def rewrite(self, operator: str, node: ast.expr, new: str) -> None:
        self.put(operator, node, f"({new})")

    # ------------------------------------------------------------ what is left alone

    def visit_Import(self, node: ast.AST) -> None: ...

    visit_ImportFrom = visit_Raise = visit_Assert = visit_Import

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        names = [t.id for t in node.targets if isinstance(t, ast.Name)]
        if (names and names[0] in {"__all__", "__slots__", "__getattr__"}) or "TypeVar" in self.text(node.value)[:12]:
            return
        if any("condition" in n for n in names):
            self.dropped_elements(node.value)
        self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.latex(node)

    # ------------------------------------------------------------ functions and statements

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name == "__repr__" or all(
            isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in node.body
        ):
            return
        outer, self.function = self.function, (node.lineno, node.end_lineno)
        printing, self.printing = self.printing, self.printing or "latex" in node.name
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and self.callee(decorator) == "register":
                self.visit(decorator)
        self.ignored_options(node)
        for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)):
            self.visit(default)
        self.body(node.body)
        self.function, self.printing = outer, printing

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.body(node.body)

    def visit_Module(self, node: ast.Module) -> None:
        self.body(node.body)

    def body(self, statements: list[ast.stmt]) -> None:
        for s in statements:
            if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)):
                self.visit(s)

    def ignored_options(self, node: ast.FunctionDef) -> None:
        first = next(
            (s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))), None
        )
        if first is None or self.source[self.starts[first.lineno - 1] : self.span(first)[0]].strip():
            return
        positional = node.args.args[len(node.args.args) - len(node.args.defaults) :]
        pairs = [
            *zip(positional, node.args.defaults, strict=True),
            *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
        ]
        for argument, default in pairs:
            if default is not None and argument.arg not in _SILENT:
                line = f"{argument.arg} = {self.text(default)}\n{' ' * first.col_offset}"
                at = self.span(first)[0]
                self.put("option", first, line, at, at)

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in self.text(node.test):
            return
        leaves = isinstance(node.body[-1], ast.Raise | ast.Return | ast.Continue | ast.Break) or not node.orelse
        self.put("condition", node.test, "False" if leaves else f"not ({self.text(node.test)})")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.rewrite("condition", node, self.text(node.body))
        self.rewrite("condition", node, self.text(node.orelse))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        word = " and " if isinstance(node.op, ast.And) else " or "
        for i in range(len(node.values)):
            self.rewrite("condition", node, word.join(f"({self.text(v)})" for j, v in enumerate(node.values) if j != i))
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.put("condition", test, "True")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and "super()" not in self.text(node):
            self.put("statement", node, "pass")
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        swapped = {ast.Add: "-=", ast.Sub: "+=", ast.Mult: "/=", ast.Div: "*="}.get(type(node.op))
        if swapped and not isinstance(node.value, ast.Constant | ast.JoinedStr | ast.List):
            name = "sign" if swapped in {"-=", "+="} else "factor"
            self.put(name, node, f"{self.text(node.target)} {swapped} {self.text(node.value)}")
        self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if isinstance(node.value, ast.Tuple):
            self.rows.add(node.value)
        if node.value is not None:
            self.visit(node.value)

    # ------------------------------------------------------------ expressions

    def visit_BinOp(self, node: ast.BinOp) -> None:
        left, right = self.text(node.left), self.text(node.right)
        plain = not any(
            isinstance(x, ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp) or _is_text(x)
            for x in (node.left, node.right)
        )
        if plain and isinstance(node.op, ast.Add | ast.Sub):
            minus = isinstance(node.op, ast.Sub)
            self.rewrite("sign", node, f"({left}) {'+' if minus else '-'} ({right})")
            self.rewrite("term", node, left)
            self.rewrite("term", node, f"-({right})" if minus else right)
        elif plain and isinstance(node.op, ast.Mult | ast.Div):
            self.rewrite("factor", node, f"({left}) {'/' if isinstance(node.op, ast.Mult) else '*'} ({right})")
            self.rewrite("term", node, left)
            if isinstance(node.op, ast.Mult):
                self.rewrite("term", node, right)
        elif plain and isinstance(node.op, ast.Pow):
            self.rewrite("factor", node, f"({left}) ** (({right}) + 1)")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub):
            self.rewrite("sign", node, self.text(node.operand))
        elif isinstance(node.op, ast.Not):
            self.rewrite("condition", node, f"bool({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for i, op in enumerate(node.ops):
            signs = [_SIGNS[type(o)] for o in node.ops]
            signs[i] = _FLIPPED[type(op)]
            pieces = [
                self.text(operands[0]),
                *(f"{s} {self.text(x)}" for s, x in zip(signs, operands[1:], strict=True)),
            ]
            self.rewrite("comparison", node, " ".join(pieces))
        if len(node.ops) > 1:
            last = f"{self.text(operands[-2])} {_SIGNS[type(node.ops[-1])]} {self.text(operands[-1])}"
            self.rewrite("condition", node, last)
            self.rewrite(
                "condition", node, f"{self.text(operands[0])} {_SIGNS[type(node.ops[0])]} {self.text(operands[1])}"
            )
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.put("flag", node, str(not node.value))
        elif isinstance(node.value, int):
            self.put("factor", node, str(node.value + 1))
        elif isinstance(node.value, float) and (abs(node.value) > 1e-5 or node.value == 0):
            self.put("factor", node, repr(2 * node.value) if node.value else "1.0")
        elif isinstance(node.value, str):
            self.latex(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
            self.put("index", node.slice, str(node.slice.value + 1))
        elif isinstance(node.slice, ast.Slice):
            for bound in (node.slice.lower, node.slice.upper):
                if bound is not None:
                    self.put("index", bound, f"{self.text(bound)} + 1")
        else:
            self.visit(node.slice)
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = self.callee(node)
        if name in _SKIPPED_CALLS or name.endswith(("Error", "Warning")) or name == "warn":
            return
        if name == "range":
            self.put("index", node.args[-1], f"({self.text(node.args[-1])}) - 1")
        if name in _RELATIONS and isinstance(node.func, ast.Name):
            self.put("comparison", node.func, _RELATIONS[name])
        arguments = node.args
        if name not in {"isinstance", "startswith", "endswith"}:
            self.rows.update(a for a in (*arguments, *(k.value for k in node.keywords)) if isinstance(a, ast.Tuple))
        starred = any(isinstance(a, ast.Starred) for a in arguments)
        if len(arguments) > 1 and name not in _SYMMETRIC and not starred:
            for a, b in pairwise(arguments):
                self.exchange(node, a, b)
        for keyword in node.keywords:
            if keyword.arg == "conditions":
                self.dropped_elements(keyword.value)
            if keyword.arg is not None and keyword.arg not in _SILENT:
                self.left_out(node, keyword)
        if name == "register":
            for keyword in node.keywords:
                if keyword.arg in {"relations", "simulates", "unfold"}:
                    self.visit(keyword.value)
            return
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in _SILENT:
            self.visit(node.value)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        if node in self.rows:
            self.swapped_entries(node)
        self.generic_visit(node)

    def visit_List(self, node: ast.List) -> None:
        self.rows.update(e for e in node.elts if isinstance(e, ast.Tuple))
        self.swapped_entries(node)
        self.generic_visit(node)

    # ------------------------------------------------------------ helpers

    def callee(self, node: ast.Call) -> str:
        f = node.func
        return f.id if isinstance(f, ast.Name) else f.attr if isinstance(f, ast.Attribute) else ""

    def exchange(self, node: ast.AST, a: ast.AST, b: ast.AST) -> None:
        (a0, a1), (b0, b1) = self.span(a), self.span(b)
        if self.text(a) != self.text(b):
            self.put("swap", node, self.text(b) + self.source[a1:b0].decode() + self.text(a), a0, b1)

    def swapped_entries(self, node: ast.Tuple | ast.List) -> None:
        if not any(isinstance(e, ast.Starred) for e in node.elts[:2]) and isinstance(node.ctx, ast.Load):
            for a, b in pairwise(node.elts):
                self.exchange(node, a, b)

    def dropped_elements(self, node: ast.expr) -> None:
        if isinstance(node, ast.Tuple | ast.List):
            ends = "()" if isinstance(node, ast.Tuple) else "[]"
            for i in range(len(node.elts)):
                rest = "".join(f"{self.text(e)}, " for j, e in enumerate(node.elts) if j != i)
                self.put("condition", node, f"{ends[0]}{rest}{ends[1]}")

    def left_out(self, node: ast.Call, keyword: ast.keyword) -> None:
        start, stop = self.span(keyword)
        rest = self.source[stop : self.span(node)[1]]
        comma = re.match(rb"\s*,", rest)
        self.put("option", keyword, "", start, stop + (comma.end() if comma else 0))

    def latex(self, node: ast.Constant | ast.JoinedStr) -> None:
        text = self.text(node)
        if not self.printing or ("\\" not in text and "$" not in text):
            return
        start = self.span(node)[0]
        for pattern, new in _LATEX:
            for m in re.finditer(pattern, text):
                first = start + len(text[: m.start()].encode())
                self.put("latex", node, m.expand(new), first, first + len(m.group().encode()))


_SIGNS = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.In: "in", ast.NotIn: "not in",
    ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def counted(sites: list[Site]) -> Iterator[tuple[str, int]]:
    """Yield the number of sites of every operator."""
    for operator in OPERATORS:
        yield operator, sum(s.operator == operator for s in sites)
