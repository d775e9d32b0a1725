"""Run the small part of Julia in which formulas are exported, from the syntax tree of a real grammar.

There is no Julia where the tests run. Arrays are NumPy's; what Julia would refuse (an array plus a scalar without a dot) is
refused here too, and a vector beside a matrix is a column.
"""

import math
import operator

import numpy as np

__all__ = ["Julia", "JuliaError"]


class JuliaError(Exception):
    """What ``error`` and ``throw`` raise."""


class _Return(Exception):
    pass


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class _Scope(dict):
    """Local names; an assignment changes an enclosing local of the same name."""

    def __init__(self, parent=None):
        super().__init__()
        self.parent = parent

    def find(self, name):
        scope = self
        while scope is not None and name not in scope:
            scope = scope.parent
        return scope

    def assign(self, name, value):
        scope = self.find(name)
        (self if scope is None or scope.parent is None else scope)[name] = value


def _arrays(a, b):
    return isinstance(a, np.ndarray), isinstance(b, np.ndarray)


def _dotted(f):
    def apply(a, b):
        if all(_arrays(a, b)) and a.ndim != b.ndim:
            a, b = (x[:, None] if x.ndim == 1 else x for x in (a, b))
        return f(a, b)

    return apply


def _same_kind(f):
    def apply(a, b):
        assert len(set(_arrays(a, b))) == 1, "an array and a scalar need a dot"
        assert not isinstance(a, np.ndarray) or a.shape == b.shape
        return f(a, b)

    return apply


def _times(a, b):
    if not all(_arrays(a, b)):
        return a * b
    assert a.ndim == 2 or b.ndim == 2, "a product of vectors needs a dot"
    return np.outer(a, b[0]) if a.ndim == 1 else a @ b


def _over(a, b):
    assert not isinstance(b, np.ndarray), "a division by an array needs a dot"
    return a / b


def _scalar(f):
    def apply(a, b):
        assert not any(_arrays(a, b)), "arrays need a dot"
        return f(a, b)

    return apply


ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "^": operator.pow}
COMPARISON = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
DOTTED = {op: _dotted(f) for op, f in {**ARITHMETIC, **COMPARISON, "&": operator.and_, "|": operator.or_}.items()}
PLAIN = {
    "+": _same_kind(operator.add), "-": _same_kind(operator.sub), "*": _times, "/": _over, "^": _scalar(operator.pow),
    "\\": np.linalg.solve, **{op: _scalar(f) for op, f in COMPARISON.items()},
}  # fmt: skip


def _raise(*text):
    raise JuliaError("".join(map(str, text)))


def _total(x, init=None):
    if isinstance(x, np.ndarray):
        return np.sum(x)
    items = list(x)
    assert items or init is not None, "the sum of nothing needs init"
    return sum(items[1:], items[0]) if items else init


BASE = {
    "min": min, "max": max, "abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "log1p": np.log1p, "expm1": np.expm1,
    "sin": np.sin,
    "sign": np.sign, "cos": np.cos, "tan": np.tan, "pi": math.pi, "Inf": math.inf, "ceil": np.ceil, "isfinite": np.isfinite,
    "float": lambda x: np.asarray(x, dtype=float) if isinstance(x, np.ndarray) else float(x), "length": len,
    "Int": lambda x: int(x) if x == int(x) else _raise("InexactError"), "isinteger": lambda x: x == int(x),
    "count": lambda x: int(np.sum(x)), "sum": _total, "prod": math.prod, "maximum": np.max, "minimum": np.min,
    "ones": np.ones, "zeros": lambda *n: np.zeros(n), "fill": lambda x, n: np.full(int(n), x), "copy": np.copy,
    "clamp": np.clip, "all": np.all, "inv": np.linalg.inv, "zip": lambda *x: zip(*x, strict=True),
    "vcat": lambda *x: [y for one in x for y in one],
    "enumerate": lambda x: enumerate(x, start=1), "error": _raise, "throw": _raise, "ArgumentError": lambda x: x,
    "push!": lambda to, x: to.append(x), "Nothing": None,
}  # fmt: skip


class Julia:
    """The functions of a source.

    Args:
        source: Julia text.
        parser: A parser of Julia by tree-sitter.
    """

    def __init__(self, source, parser):
        root = parser.parse(source.encode()).root_node
        assert not root.has_error, source
        self.scope = _Scope()
        self.scope.update(BASE)
        self.block(root.named_children, self.scope)

    def call(self, name, *arguments, **named):
        return self.scope[name](*arguments, **named)

    # ---------------------------------------------------------------- statements
    def block(self, nodes, scope):
        out = None
        for node in nodes:
            if node.type not in {"line_comment", "string_literal"}:
                out = getattr(self, node.type)(node, scope)
        return out

    def function_definition(self, node, scope):
        head, *body = node.named_children
        name, arguments = head.named_children[0].named_children
        scope[_text(name)] = self.function(arguments, body, scope)

    def function(self, arguments, body, scope):
        def run(*given, **named):
            local = _Scope(scope)
            given = list(given)
            for x in arguments.named_children:
                key = _text(x if x.type == "identifier" else x.named_children[0])
                if key in named:
                    local[key] = named.pop(key)
                elif given:
                    local[key] = given.pop(0)
                else:
                    local[key] = self.value(x.named_children[-1], scope)
            assert not given
            assert not named
            try:
                return self.block(body, local)
            except _Return as e:
                return e.args[0]

        return run

    def assignment(self, node, scope):
        left, _, right = node.named_children
        if left.type == "call_expression":
            name, arguments = left.named_children
            scope[_text(name)] = self.function(arguments, [right], scope)
            return None
        value = self.value(right, scope)
        self.bind(left, value, scope)
        return value

    def compound_assignment_expression(self, node, scope):
        left, op, right = node.named_children
        value = self.value(right, scope)
        if _text(op) != ".=":
            value = PLAIN[_text(op)[:-1]](self.value(left, scope), value)
        self.bind(left, value, scope)

    def bind(self, left, value, scope, *, new=False):
        if left.type == "identifier":
            scope.__setitem__(_text(left), value) if new else scope.assign(_text(left), value)
        elif left.type == "index_expression":
            array, index = left.named_children
            self.value(array, scope)[self.index(index, scope)] = value
        else:
            values = list(value)
            assert len(values) == len(left.named_children)
            for x, v in zip(left.named_children, values, strict=True):
                self.bind(x, v, scope, new=new)

    def for_statement(self, node, scope):
        bindings = [x for x in node.named_children if x.type == "for_binding"]
        body = [x for x in node.named_children if x.type != "for_binding"]
        for local in self.bound(bindings, scope):
            try:
                self.block(body, _Scope(local))
            except _Break:
                return
            except _Continue:
                continue

    def bound(self, bindings, scope):
        """Yield a scope for each value of the bindings, the last the fastest."""
        if not bindings:
            yield scope
            return
        name, _, span = bindings[0].named_children
        for x in self.value(span, scope):
            local = _Scope(scope)
            self.bind(name, x, local, new=True)
            yield from self.bound(bindings[1:], local)

    def while_statement(self, node, scope):
        test, *body = node.named_children
        while self.value(test, scope):
            self.block(body, _Scope(scope))

    def if_statement(self, node, scope):
        test, *rest = node.named_children
        done = [x for x in rest if x.type not in {"elseif_clause", "else_clause"}]
        if self.value(test, scope):
            return self.block(done, scope)
        for x in rest:
            if x.type == "else_clause":
                return self.block(x.named_children, scope)
        return None

    def return_statement(self, node, scope):
        raise _Return(self.value(node.named_children[0], scope))

    def break_statement(self, node, scope):
        raise _Break

    def continue_statement(self, node, scope):
        raise _Continue

    # ---------------------------------------------------------------- expressions
    def value(self, node, scope):
        return getattr(self, node.type)(node, scope)

    def identifier(self, node, scope):
        found = scope.find(_text(node))
        assert found is not None, f"{_text(node)} is not defined"
        return found[_text(node)]

    def integer_literal(self, node, scope):
        return int(_text(node))

    def float_literal(self, node, scope):
        return float(_text(node))

    def boolean_literal(self, node, scope):
        return _text(node) == "true"

    def string_literal(self, node, scope):
        return "".join(
            _text(x) if x.type == "content" else str(self.value(x.named_children[0], scope))
            for x in node.named_children
        )

    def parenthesized_expression(self, node, scope):
        return self.value(node.named_children[0], scope)

    def unary_expression(self, node, scope):
        op, x = node.named_children
        return -self.value(x, scope) if _text(op) == "-" else not self.value(x, scope)

    def binary_expression(self, node, scope):
        left, op, right = node.named_children
        op = _text(op)
        if op == "&&":
            return self.value(left, scope) and self.value(right, scope)
        if op == "||":
            return self.value(left, scope) or self.value(right, scope)
        a, b = self.value(left, scope), self.value(right, scope)
        dotted = op[0] == "." or scope.find("@.") is not None
        return (DOTTED[op.lstrip(".")] if dotted else PLAIN[op])(a, b)

    def ternary_expression(self, node, scope):
        test, yes, no = node.named_children
        return self.value(yes if self.value(test, scope) else no, scope)

    def adjoint_expression(self, node, scope):
        x = self.value(node.named_children[0], scope)
        return x[None, :] if x.ndim == 1 else x.T

    def range_expression(self, node, scope):
        first, last = node.named_children
        step = 1
        if first.type == "range_expression":
            first, step = first.named_children[0], self.value(first.named_children[1], scope)
        a, b = self.value(first, scope), self.value(last, scope)
        return [a + step * i for i in range(math.floor((b - a) / step) + 1)]

    def tuple_expression(self, node, scope):
        return tuple(self.value(x, scope) for x in node.named_children)

    open_tuple = tuple_expression

    def vector_expression(self, node, scope):
        items = [self.value(x, scope) for x in node.named_children]
        return np.array(items) if items and all(isinstance(x, int | float) for x in items) else items

    def comprehension_expression(self, node, scope):
        body, *clauses = node.named_children
        bindings = [[b for b in c.named_children if b.type == "for_binding"] for c in clauses]
        items = [self.value(body, local) for local in self.bound([b for one in bindings for b in one], scope)]
        if len(bindings[0]) == 2:  # a matrix
            rows = len(self.value(bindings[0][0].named_children[2], scope))
            return np.array(items).reshape(rows, -1)
        return np.array(items) if items and all(isinstance(x, float) for x in items) else items

    def index_expression(self, node, scope):
        array, index = node.named_children
        return self.value(array, scope)[self.index(index, scope)]

    def index(self, node, scope):
        places = [
            slice(None) if x.type == "operator" else self.place(self.value(x, scope)) for x in node.named_children
        ]
        return places[0] if len(places) == 1 else tuple(places)

    @staticmethod
    def place(x):
        if isinstance(x, np.ndarray) and x.dtype == bool:
            return x
        if isinstance(x, np.ndarray | list):
            return np.array(x, dtype=int) - 1
        assert x >= 1
        assert x == int(x)
        return int(x) - 1

    def macrocall_expression(self, node, scope):
        assert _text(node.named_children[0]) == "@."
        local = _Scope(scope)
        local["@."] = True
        return self.value(node.named_children[1].named_children[0], local)

    def call_expression(self, node, scope):
        name, arguments = node.named_children
        if _text(name) == "!":
            return not self.value(arguments.named_children[0], scope)
        given, named = self.arguments(arguments, scope)
        return self.value(name, scope)(*given, **named)

    def broadcast_call_expression(self, node, scope):
        name, arguments = node.named_children
        given, _ = self.arguments(arguments, scope)
        return np.asarray(self.value(name, scope)(*map(np.asarray, given)))

    def arguments(self, node, scope):
        given, named, items = [], {}, node.named_children
        clauses = [x for x in items if x.type == "for_clause"]
        if clauses:
            bindings = [b for c in clauses for b in c.named_children if b.type == "for_binding"]
            given.append([self.value(items[0], local) for local in self.bound(bindings, scope)])
            items = [x for x in items[1:] if x.type != "for_clause"]
        for x in items:
            if x.type == "named_argument":
                named[_text(x.named_children[0])] = self.value(x.named_children[-1], scope)
            elif x.type == "splat_expression":
                given += self.value(x.named_children[0], scope)
            else:
                given.append(self.value(x, scope))
        return given, named


def _text(node):
    return node.text.decode()
