r"""The symbols of the theory and their assumptions; the only place where a symbol is created.

The assumptions are the domain of each quantity: ``positive`` and ``nonnegative`` are enforced on every value bound to
the symbol, ``integer`` too. ``LATEX`` holds the names that SymPy would not typeset by itself.

>>> from collapse_theory import symbols
>>> symbols.lam.is_nonnegative
True
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from sympy import Symbol

__all__ = [
    "LATEX",
    "NOTATION",
    "RESERVED",
    "T0",
    "Eigenvalue",
    "Generated",
    "K",
    "LineName",
    "N",
    "Perturbation",
    "SecularRoot",
    "T",
    "UnknownName",
    "beta",
    "d",
    "declared",
    "design_index",
    "drift_name",
    "effective_ridge_scalar",
    "eigenvalue",
    "eigenvalue_of",
    "ell",
    "energy",
    "error",
    "fit_index",
    "implicit_scalar",
    "indexed",
    "intermediate",
    "is_literal",
    "k",
    "kappa",
    "lam",
    "lam0",
    "line_name",
    "literal",
    "m",
    "m0",
    "n",
    "operator_entry",
    "ordered",
    "other_eigenvalue",
    "p1",
    "p2",
    "perturbation",
    "phi",
    "phi0",
    "r",
    "response_name",
    "rho2",
    "round_index",
    "scale_exponent",
    "seen_name",
    "sigma",
    "sigma0",
    "spelled",
    "step",
    "summation_index",
    "symbol_of",
    "t",
    "t0",
    "theta",
    "trace_scalar",
    "unknown_name",
    "unshared",
    "variance",
    "w",
    "xi",
]

d = Symbol("d", positive=True, integer=True)
T = Symbol("T", positive=True)
T0 = Symbol("T0", positive=True)
N = Symbol("N", positive=True)
sigma = Symbol("sigma", nonnegative=True)
sigma0 = Symbol("sigma0", nonnegative=True)
lam = Symbol("lam", nonnegative=True)
lam0 = Symbol("lam0", nonnegative=True)
n = Symbol("n", nonnegative=True, integer=True)
m = Symbol("m", nonnegative=True, integer=True)
m0 = Symbol("m0", nonnegative=True, integer=True)
k = Symbol("k", positive=True)
t = Symbol("t", positive=True)
t0 = Symbol("t0", positive=True)
K = Symbol("K", positive=True, integer=True)
xi = Symbol("xi", real=True)
w = Symbol("w", nonnegative=True)
p1 = Symbol("p1", nonnegative=True)
p2 = Symbol("p2", nonnegative=True)
phi = Symbol("phi", positive=True)
phi0 = Symbol("phi0", positive=True)
kappa = Symbol("kappa", nonnegative=True)
beta = Symbol("beta", positive=True)
r = Symbol("r", positive=True)
ell = Symbol("ell", nonnegative=True)
rho2 = Symbol("rho2", nonnegative=True)
theta = Symbol("theta", real=True)
error = Symbol("E", nonnegative=True)
"""The test error itself, in relations between theorems; no parameter of any."""

NOTATION: Mapping[str, Symbol] = MappingProxyType(
    {
        s.name: s
        for s in (
            d,
            T,
            T0,
            N,
            sigma,
            sigma0,
            lam,
            lam0,
            n,
            m,
            m0,
            k,
            t,
            t0,
            K,
            xi,
            w,
            p1,
            p2,
            phi,
            phi0,
            kappa,
            beta,
            r,
            ell,
            rho2,
            theta,
        )
    }
)
"""Every free symbol of the notation table by its code name."""

LATEX: Mapping[str, str] = MappingProxyType({"lam": r"\lambda", "lam0": r"\lambda_{0}", "rho2": r"\rho^{2}"})


RESERVED = frozenset(
    """self pipe pipeline formula model family method spectrum target terms digits certified test_noise test_covariance inputs
    targets kernel data trials seed jobs progress checkpoint threshold extrapolate over between observed errors claim about kind
    term along notation draws measured overlaps""".split()  # noqa: SIM905
)
"""Names that a symbol of a pipeline cannot have, since values are given by name beside these arguments."""


class Eigenvalue(Symbol):
    """The eigenvalue bound inside a spectral integral over one covariance.

    A class of its own, so that no symbol a user can create is equal to it and nothing can be substituted for it by name.
    """

    __slots__ = ()

    def __new__(cls, covariance: str = "Sigma") -> Eigenvalue:
        """Return the one bound eigenvalue of the covariance of that name."""
        return super().__new__(cls, covariance, positive=True)

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, bool]]:
        """Pickle by covariance name; the assumption belongs to the class."""
        return (self.name,), {}


eigenvalue = Eigenvalue()


class Generated(Symbol):
    """A symbol that the package makes up; of a class of its own, so that it is never equal to a user's of the same name.

    >>> Generated("T#1", positive=True) == Symbol("T#1", positive=True)
    False
    """

    __slots__ = ()


fit_index, design_index, round_index = (Generated(name, positive=True, integer=True) for name in ("k", "D", "i"))
"""Places of a fit, of a design and of a round, in what is printed; no parameters."""


class Perturbation(Symbol):
    """The small parameter bound inside a derivative of an opaque scalar; of a class of its own, like the eigenvalue."""

    __slots__ = ()

    def __new__(cls) -> Perturbation:
        """Return the one bound perturbation."""
        return super().__new__(cls, "epsilon", real=True)

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, bool]]:
        """Pickle without arguments; name and assumption belong to the class."""
        return (), {}


perturbation = Perturbation()


class SecularRoot(Symbol):
    """The eigenvalue of a generation operator bound inside a sum over them; of a class of its own, like that of a covariance."""

    __slots__ = ()

    def __new__(cls, block: int = 0) -> SecularRoot:
        """Return the one bound root of the operator of a block of fits."""
        return super().__new__(cls, f"e_{block}" if block else "e", positive=True)

    def __getnewargs_ex__(self) -> tuple[tuple[int], dict[str, bool]]:
        """Pickle by the block; the assumption belongs to the class."""
        return (int(self.name[2:] or 0),), {}


def eigenvalue_of(covariance: str) -> Eigenvalue:
    """Return the eigenvalue symbol of a covariance, by its name."""
    return Eigenvalue(covariance)


def operator_entry(letter: str, place: str) -> Symbol:
    """Return the printed name of an entry of a generation operator on a few eigenvalues.

    >>> operator_entry("D", "2")
    D_2
    """
    return Generated(f"{letter}_{place}", positive=True)


def other_eigenvalue(covariance: str) -> Symbol:
    """Return the eigenvalue of an isotropic covariance beside the one of the samples.

    >>> other_eigenvalue("Delta")
    Delta
    """
    return Symbol(covariance, positive=True)


def step(index: int) -> Symbol:
    """Return the name of the result of one step of an evaluation plan.

    >>> step(3)
    _step3
    """
    return Generated(f"_step{index}", real=True)


def literal(role: str, index: int) -> Symbol:
    """Return the symbol that stands for a number written into a pipeline.

    >>> literal("T", 1)
    T#1
    """
    return Generated(f"{role}#{index}", **_LITERAL_ASSUMPTIONS[role])


def is_literal(x: Symbol) -> bool:
    """Whether a symbol stands for a number written into a pipeline.

    >>> is_literal(literal("T", 1)), is_literal(Symbol("T#1"))
    (True, False)
    """
    return isinstance(x, Generated) and "#" in x.name


_LITERAL_ASSUMPTIONS = {
    "T": {"positive": True},
    "noise": {"positive": True},
    "ridge": {"positive": True},
    "weight": {"positive": True},
    "m": {"positive": True},
    "time": {"positive": True},
    "step": {"positive": True},
    "steps": {"positive": True, "integer": True},
    "number": {"real": True},
}


def response_name(index: str) -> Symbol:
    """Return the printed name of the response of a generation operator to its argument."""
    return Symbol(f"a'{index}[M]", real=True)


def drift_name(index: str, about: str) -> Symbol:
    """Return the printed name of the drift of the effective ridge of a fit on features."""
    return Symbol(rf"\kappa'{index}[{about}]", real=True)


def seen_name(index: str, about: str) -> Symbol:
    """Return the printed name of what rows see of a fit on features."""
    return Symbol(f"t{index}[{about}]", real=True)


def energy(direction: str) -> Symbol:
    """Return the total target energy of one atom of a spectrum with a closed form.

    >>> energy("bulk")
    w2_bulk
    """
    return Symbol(f"w2_{direction}", nonnegative=True)


def indexed(role: Symbol, index: int | str) -> Symbol:
    """Return the symbol of one node of a pipeline: the role's assumptions, the node's index.

    >>> indexed(T, 3), indexed(T, 3).is_positive
    (T_3, True)
    """
    return Symbol(f"{role.name}_{index}", **role.assumptions0)


def effective_ridge_scalar(index: int) -> Symbol:
    """Return the name of an effective ridge while a derivation is under way.

    >>> effective_ridge_scalar(2)
    kappa_2
    """
    return Generated(f"kappa_{index}", nonnegative=True)


def unshared(role: Symbol, taken: Collection[str]) -> Symbol:
    """Return the symbol of a role for print, with the first free index if a symbol in the same formula has its name.

    >>> unshared(kappa, {"kappa", "kappa_1"})
    kappa_2
    """
    index, name = 0, role.name
    while name in taken:
        index += 1
        name = f"{role.name}_{index}"
    return role if index == 0 else indexed(role, index)


def ordered(found: Iterable[Symbol]) -> tuple[Symbol, ...]:
    """Return symbols in an order that does not depend on the session, those that share a name included."""
    return tuple(sorted(found, key=lambda x: (x.name, type(x).__name__, str(sorted(x.assumptions0.items())))))


def implicit_scalar(index: int) -> Symbol:
    """Return the name of an implicit scalar of a deterministic equivalent that has no name of its own.

    >>> implicit_scalar(2)
    tau_2
    """
    return Generated(f"tau_{index}", real=True)


class LineName(Generated):
    """The name of a line of a formula that is written line by line; bound there, and never equal to a user's symbol."""

    __slots__ = ()


def line_name(printed: str) -> Symbol:
    """Return the name of a line, as it is printed.

    >>> line_name("Q_11") == Symbol("Q_11", real=True)
    False
    """
    return LineName(printed, real=True)


class UnknownName(LineName):
    """The unknown of an equation; bound in what the equation defines."""

    __slots__ = ()


def unknown_name(printed: str) -> Symbol:
    """Return the unknown of an equation, as it is printed.

    >>> unknown_name("x").is_positive
    True
    """
    return UnknownName(printed, positive=True)


def intermediate(name: str) -> Symbol:
    """Return the name of a scalar in a derivation that is written out, in LaTeX.

    >>> intermediate("t_{21}")
    t_{21}
    """
    return Generated(name, real=True)


def trace_scalar(index: int) -> Symbol:
    """Return the name of a scalar that is given by traces of earlier ones, while a derivation is under way.

    >>> trace_scalar(2)
    theta_2
    """
    return Generated(f"theta_{index}", real=True)


def scale_exponent(name: str) -> Symbol:
    """Return the symbol of the exponent of a noise variance, ``T**-gamma``.

    >>> scale_exponent("gamma_0")
    gamma_0
    """
    return Symbol(name, nonnegative=True)


variance = Symbol("variance", positive=True)
"""A noise variance that does not change with T."""


def declared(name: str) -> Symbol:
    """Return the symbol that a user's file declares: the notation table's if it has the name, else a real one.

    >>> declared("lam") is lam, declared("alpha").is_real
    (True, True)
    """
    return NOTATION.get(name) or Symbol(name, real=True)


def summation_index(name: str) -> Symbol:
    """Return the integer symbol that a finite sum written as text binds.

    >>> summation_index("i").is_integer
    True
    """
    return Symbol(name, integer=True)


_KINDS: Mapping[str, tuple[type[Symbol], Callable[..., Symbol]]] = MappingProxyType(
    {
        "parameter": (Symbol, Symbol),
        "generated": (Generated, Generated),
        "eigenvalue": (Eigenvalue, Eigenvalue),
        "perturbation": (Perturbation, lambda _: Perturbation()),
        "secular root": (SecularRoot, lambda name: SecularRoot(int(name[2:] or 0))),
        "line": (LineName, line_name),
        "unknown": (UnknownName, unknown_name),
    }
)
"""The class of each kind of symbol, and what makes one of a name; the first two kinds take assumptions."""

_USUAL = ("real", "integer", "nonnegative", "positive")


def spelled(x: Symbol) -> tuple[str, str, dict[str, bool]]:
    """Return the kind of a symbol, its name, and the fewest assumptions from which its others follow.

    >>> spelled(n)
    ('parameter', 'n', {'integer': True, 'nonnegative': True})
    """
    kind = next(kind for kind, (cls, _) in _KINDS.items() if type(x) is cls)
    kept = dict(x.assumptions0) if type(x) in (Symbol, Generated) else {}
    for key in sorted(kept, key=lambda key: (key in _USUAL, key in _USUAL and _USUAL.index(key), key)):
        fewer = {k: v for k, v in kept.items() if k != key}
        if type(x)(x.name, **fewer) == x:
            kept = fewer
    return kind, x.name, dict(sorted(kept.items()))


def symbol_of(kind: str, name: str, assumptions: Mapping[str, bool]) -> Symbol:
    """Return the symbol of a spelling, see :func:`spelled`.

    Raises:
        KeyError: If there is no such kind.
        ValueError: If the assumptions contradict each other, or no symbol of the kind has the name.
        TypeError: If a symbol of the kind has no assumptions of its own.

    >>> symbol_of("parameter", "n", {"nonnegative": True, "integer": True}) == n
    True
    """
    x = _KINDS[kind][1](name, **assumptions)
    if x.name != name:
        raise ValueError(f"no {kind} has the name {name}")
    return x


def __getattr__(name: str) -> Symbol:
    """Refuse a name of no symbol, with the nearest one."""
    close = difflib.get_close_matches(name, NOTATION, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; the notation has {', '.join(NOTATION)}"
    raise AttributeError(f"collapse_theory.symbols has no symbol {name!r}{hint}", name=name)
