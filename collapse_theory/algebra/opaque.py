r"""Opaque scalars: real numbers that SymPy carries as one object each.

A deterministic equivalent is made of objects that SymPy has no name for: integrals over a spectrum, roots of an equation,
recursions over fits. All are one kind of expression here, with one statement of what SymPy asks of an expression.

* *Arguments* are SymPy expressions, or tuples of them; a string is refused, since SymPy would evaluate it as Python.
* *Assumptions*: commutative and real. What else is known of a value is said by the class.
* *Bound symbols* (an eigenvalue, a perturbation) are of a class of their own that is named by ``_binds``. They are no free
  symbols, nothing is substituted for them, nothing that contains one is substituted into the object (``subs`` would capture
  it), and no derivative is taken by them.
* *LaTeX* is a head that takes an exponent and what follows it, :meth:`Opaque._tex`.
* *Value*: ``evalf`` gives one where the arguments are numbers and determine it (:meth:`OpaqueFunction._number`); what also
  needs a spectrum stays as it is, and is evaluated by a plan.
* *Derivative*: by the equation or the definition of the object, or a refusal.
* *Pickling*: ``type(x)(*x.args) == x``, so that SymPy's own works; no object holds anything but its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sympy import Add, Dummy, Eq, Expr, Float, Function, Mul, S, Symbol, Tuple, sympify
from sympy.core.function import ArgumentIndexError
from sympy.printing.precedence import PRECEDENCE

from collapse_theory.core.errors import DomainError
from collapse_theory.core.precision import exact_context, exact_number

__all__ = ["Opaque", "OpaqueFunction", "argument", "called", "pairs_of"]


def argument(x: Any) -> Any:
    """Return an argument as SymPy's, numbers and tuples converted.

    Raises:
        SympifyError: If it is text, which SymPy would evaluate as Python.
    """
    return sympify(x, strict=True)


def pairs_of(pairs: Any) -> Tuple:
    """Return pairs of a name and an expression as SymPy's.

    Raises:
        SympifyError: If one is text.
    """
    return Tuple(*(Tuple(*map(argument, pair)) for pair in (argument(pairs) if isinstance(pairs, str) else pairs)))


class Opaque(Expr):
    """Base of all opaque scalars; on its own, of those with structured arguments."""

    is_commutative = True
    is_extended_real = True
    precedence = PRECEDENCE["Atom"]  # one that prints as a product or sum says so: a power needs parentheses
    _binds: ClassVar[type[Symbol] | None] = None

    def __new__(cls, *args: Any) -> Expr:
        """Return the object of these arguments."""
        return super().__new__(cls, *map(argument, args))

    # ------------------------------------------------------------------ what is inside
    @property
    def ridges(self) -> tuple[Expr, ...]:
        """The effective ridges inside, to which its print refers, in order."""
        return ()

    @property
    def equations(self) -> tuple[Eq, ...]:
        """The equations of the other implicit scalars inside, by the names it prints."""
        return ()

    # ------------------------------------------------------------------ bound symbols
    @property
    def free_symbols(self) -> set[Symbol]:
        """The symbols of the arguments other than the bound ones."""
        return {x for a in self.args for x in a.free_symbols if not self._is_bound(x)}

    def _is_bound(self, e: Any) -> bool:
        """Return whether an expression has a symbol that objects of this class bind."""
        bound = self._binds
        return bound is not None and any(isinstance(x, bound) for x in getattr(e, "free_symbols", ()))

    def _eval_subs(self, old: Any, new: Any) -> Expr | None:
        if self._is_bound(old):
            return self
        if self._is_bound(new):
            raise self._captures(f"subs({old}, {new})")
        return None

    def _xreplace(self, rule: Any) -> tuple[Expr, bool]:
        if self._binds is None or self in rule:
            return super()._xreplace(rule)
        if not isinstance(rule, Mapping):  # SymPy's internal transforms: what binds a symbol is one object to them
            return self, False
        outer = {old: new for old, new in rule.items() if not self._is_bound(old)}
        args, changed = zip(*(a._xreplace(outer) for a in self.args), strict=True)
        if not any(changed):
            return self, False
        if any(self._is_bound(new) and any(a.has(old) for a in self.args) for old, new in outer.items()):
            raise self._captures("xreplace")
        return self.func(*args), True

    def _captures(self, call: str) -> DomainError:
        return DomainError(f"{call} would capture the symbol bound in {self}; use another symbol, or integrate first")

    # ------------------------------------------------------------------ derivative
    def _eval_derivative(self, x: Symbol) -> Expr:
        return self._derivative(x) if x in self.free_symbols else S.Zero

    def _derivative(self, x: Symbol) -> Expr:
        """Return the derivative by one of the free symbols."""
        raise DomainError(f"{type(self).__name__} has no derivative, got one by {x}; compare two values")

    # ------------------------------------------------------------------ LaTeX
    def _latex(self, printer: Any, exp: str | None = None) -> str:
        head, rest = self._tex(printer)
        if exp is None:
            return head + rest
        return (rf"\left({head}\right)" if self._compound else head) + f"^{{{exp}}}" + rest

    _compound: ClassVar[bool] = False
    """Whether the head of a function is to be put into parentheses under an exponent."""

    def _tex(self, printer: Any) -> tuple[str, str]:
        """Return the LaTeX as a head, which takes an exponent, and what follows it."""
        raise NotImplementedError


class OpaqueFunction(Opaque, Function):
    """Base of the opaque functions of scalars: a definition or an equation gives the derivatives."""

    precedence = PRECEDENCE["Func"]

    @classmethod
    def definition(cls, *args: Expr) -> Expr:
        """Return the function written out."""
        raise NotImplementedError

    def doit(self, **_hints: Any) -> Expr:
        """Return the definition."""
        return self.definition(*self.args)

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative by an argument.

        Args:
            argindex: Its place, from 1.

        Raises:
            ArgumentIndexError: If there is no such argument.
        """
        if argindex not in range(1, len(self.args) + 1):
            raise ArgumentIndexError(self, argindex)
        return self._slope(argindex - 1)

    def _slope(self, i: int) -> Expr:
        """Return the derivative by argument ``i``, from 0: that of the definition."""
        own = tuple(Dummy(positive=True) for _ in self.args)
        return self.definition(*own).diff(own[i]).xreplace(dict(zip(own, self.args, strict=True)))

    def _derivative(self, x: Symbol) -> Expr:
        slopes = [a.diff(x) for a in self.args]
        return Add(*(Mul(self.fdiff(i), slope) for i, slope in enumerate(slopes, start=1) if slope != 0))

    def _eval_evalf(self, prec: int) -> Expr | None:
        if not all(a.is_number for a in self.args):
            return None
        with exact_context(self._bits(prec)) as mp:
            value = self._number(mp, *(exact_number(a, mp) for a in self.args))
            return None if value is None else Float._new(value._mpf_, prec)

    def _bits(self, prec: int) -> int:
        """Return the working precision that gives ``prec`` bits of the value."""
        return 3 * prec + 64

    def _number(self, mp: Any, *args: Any) -> Any:  # noqa: ARG002 - for those that have one
        """Return the value at numbers of the mpmath context, or None if they do not determine it."""
        return None


def called(head: str, args: tuple[Expr, ...], printer: Any) -> tuple[str, str]:
    r"""Return the pieces of :math:`f(a,b)`, whose exponent stands behind the head."""
    return head, rf"\left({', '.join(printer.doprint(a) for a in args)}\right)"
