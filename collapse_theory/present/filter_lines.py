r"""What a chain of filters refers to by name: its operators as contour integrals, its filters and their effective ridges."""

from __future__ import annotations

from sympy import Expr, Symbol

from collapse_theory.algebra.printing import matrix_function
from collapse_theory.derive.filter_chain import FilterScalar, response_at_two
from collapse_theory.derive.operator import shrinkage
from collapse_theory.present.layout import WIDTH, width
from collapse_theory.present.printer import TheoryLatexPrinter
from collapse_theory.present.ridge_lines import ridge_line
from collapse_theory.symbols import eigenvalue, eigenvalue_of, intermediate

__all__ = ["filter_lines"]

_CONTOURS = (
    r"&\text{with contours } \oint \text{ around the spectrum of } X^\top X / T \text{, no pole of } f \text{ inside}"
)
_ONCE, _TWICE = r"\frac{dz}{2 \pi i}", r"\frac{dz_1\, dz_2}{\left(2 \pi i\right)^{2}}"


def filter_lines(e: Expr, printer: TheoryLatexPrinter) -> list[str]:
    """Return the definitions of the operators of a chain of filters, block by block.

    Args:
        e: The terms.
        printer: Prints the expressions.
    """
    chains = sorted(e.atoms(FilterScalar), key=lambda x: (len(x.args), x.sort_key()))
    if not chains:
        return []
    longest, lines = (
        chains[-1],
        [_CONTOURS],
    )
    for i in range(1, len(longest.args) + 1):
        lines += _block_lines(longest, i, printer)
    return lines


def _block_lines(chain: FilterScalar, i: int, printer: TheoryLatexPrinter) -> list[str]:
    """Return mean, operator and noise of a block, its filter and its effective ridge."""
    index, T, M = chain.index(i), chain.args[i - 1][0], eigenvalue_of("M")
    places = ("z", "z_{1}", "z_{2}")
    z, z1, z2 = map(intermediate, places)
    (f, f1, f2), (x, x1, x2) = ([intermediate(f"{y}{index}({at})") for at in places] for y in ("f", r"\kappa"))
    R, R1, R2 = (eigenvalue_of(f"R{index}({at})") for at in places)
    resolvent = {x: 1 / R - eigenvalue, x1: 1 / R1 - eigenvalue, x2: 1 / R2 - eigenvalue}
    answer = response_at_two(M, T, resolvent[x1], resolvent[x2])

    def shown(g: Expr) -> str:
        return matrix_function(g, printer)

    def lost(y: Symbol) -> Expr:
        r"""Return :math:`1-r` in the resolvent."""
        return y * ((1 - shrinkage(y)).factor() / y).xreplace(resolvent)

    mean, noise = printer.doprint(f / z), printer.doprint(f**2 / z**2)
    pair, per_row = printer.doprint(f1 * f2 / (z1 * z2)), printer.doprint(1 / T)
    image = shown(lost(x1) * lost(x2)), shown(M + eigenvalue * answer)
    twice = [rf"\mathcal{{G}}{index}[M] &= \oint\!\oint {pair}\, {image[0]}", rf"\left({image[1]}\right) {_TWICE}"]
    apart = width(" ".join(twice)) > WIDTH
    return [
        rf"A{index} &= \oint {mean}\, {shown(lost(x))}\, {_ONCE}",
        (" \\\\\n&\\qquad \\times " if apart else " ").join(twice),
        rf"a'{index}[M] &= {per_row} \operatorname{{tr}}\left[M \oint {noise}\, {shown(lost(x))}\, {_ONCE}\right]",
        rf"{printer.doprint(f)} &= {printer.doprint(chain.learned(i, z))}",
        rf"{shown(R)} &= {shown(1 / (eigenvalue + x))}",
        ridge_line(x, T, -z, (), printer),
    ]
