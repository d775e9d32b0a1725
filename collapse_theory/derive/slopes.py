r"""Derivatives of opaque scalars that are evaluated by recursion.

A chain or a system of fits is a function of the expressions in its arguments. Its derivative by a symbol :math:`x` is the one
along the derivatives of those expressions, :math:`\partial_\varepsilon f(a+\varepsilon\,\partial_xa)` at
:math:`\varepsilon=0`: a :class:`Slope` holds :math:`f(a+\varepsilon\,\partial_xa)` with :math:`\varepsilon` bound. Symbols
are substituted in it like anywhere else, and the recursion that evaluates :math:`f` evaluates it in dual numbers.
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, S, Symbol, Tuple
from sympy.printing.precedence import PRECEDENCE

from collapse_theory.algebra.opaque import Opaque
from collapse_theory.core.errors import DomainError
from collapse_theory.symbols import Perturbation, perturbation

__all__ = ["Slope", "slope"]


class Slope(Opaque):
    """The derivative of a scalar by the perturbation bound in its arguments, at zero.

    Args:
        scalar: An opaque scalar with the perturbation in its arguments; ``scalar.doit()`` writes it out.
    """

    precedence = PRECEDENCE["Mul"] + 1
    _binds = Perturbation

    @property
    def scalar(self) -> Expr:
        """The perturbed scalar."""
        return self.args[0]

    def doit(self, **_hints: Any) -> Expr:
        """Return the derivative of the written-out scalar.

        Raises:
            DomainError: If it cannot be written out.
        """
        return self.scalar.doit().diff(perturbation).xreplace({perturbation: S.Zero})

    def _derivative(self, x: Symbol) -> Expr:
        """Refuse a second derivative."""
        raise DomainError(
            f"a second derivative needs a formula that is written out, got {type(self.scalar).__name__} by {x}; "
            "use doit() on a short pipeline first, or th.at(n=2).doit()"
        )

    def _sympystr(self, printer: Any) -> str:
        return f"d{perturbation.name}[{printer.doprint(self.scalar)}]"

    def _tex(self, printer: Any) -> tuple[str, str]:
        return rf"\left.\partial_\varepsilon {printer.doprint(self.scalar)}\right|_{{\varepsilon=0}}", ""


def slope(scalar: Expr, x: Symbol) -> Expr:
    """Return the derivative of an opaque scalar by a symbol of its arguments.

    >>> from collapse_theory.derive.labeller_scalars import ChainBias
    >>> from collapse_theory.symbols import T, lam, n, sigma
    >>> chain = ChainBias((T, lam, sigma, n))
    >>> slope(chain, lam)
    depsilon[ChainBias((T, epsilon + lam, sigma, n))]
    >>> slope(chain, Symbol("x"))
    0
    """
    args = [_perturbed(a, x) for a in scalar.args]
    return S.Zero if tuple(args) == scalar.args else Slope(scalar.func(*args))


def _perturbed(arg: Any, x: Symbol) -> Any:
    if isinstance(arg, Tuple):
        return Tuple(*(_perturbed(a, x) for a in arg))
    return arg + perturbation * arg.diff(x) if isinstance(arg, Expr) and arg.has(x) else arg
