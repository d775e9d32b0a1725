"""The result of a derivation: named terms with regime, conditions and sources, and all that can be made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from inspect import Parameter, signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from sympy import Add, Eq, Expr, Ge, Gt, S, Symbol
from sympy.logic.boolalg import Boolean

from collapse_theory.algebra.collect import collected, of_squares, spread
from collapse_theory.algebra.naming import implicit_equations
from collapse_theory.core.arguments import instance, word
from collapse_theory.core.attributes import NearNames
from collapse_theory.core.doors import through
from collapse_theory.core.errors import DomainError, nearest, shown
from collapse_theory.core.numbers import flag, real
from collapse_theory.derive.corrected import corrected
from collapse_theory.derive.pooled import Measured
from collapse_theory.derive.unfold import closed_form, unfolded
from collapse_theory.symbols import d as dimension
from collapse_theory.symbols import is_literal

if TYPE_CHECKING:
    from collapse_theory.describe.pipeline import Fit, Pipeline, Source
    from collapse_theory.describe.spectra import Spectrum
    from collapse_theory.describe.targets import Target
    from collapse_theory.describe.truths import Tasks
    from collapse_theory.numerics.measure import Spectra
    from collapse_theory.numerics.predictor import Predictor
    from collapse_theory.study.break_even import BreakEven
    from collapse_theory.study.inverse import Inference
    from collapse_theory.study.optimum import Optimum

__all__ = ["ErrorFormula", "Regime", "value_for"]

_MAPPINGS = ("parts", "numbers", "bindings", "remedies")

Regime = Literal["exact", "proportional", "leading order", "upper bound", "lower bound", "scaling"]


@dataclass(frozen=True)
class ErrorFormula(NearNames):
    """A test error as a derived formula.

    Attributes:
        parts: Term name to SymPy expression, with a symbol for every number written into the pipeline.
        regime: "exact", "proportional" (d and T to infinity together), "leading order", "upper bound", "lower bound" or
            "scaling".
        conditions: SymPy conditions of validity, checked at evaluation.
        references: BibTeX keys of the sources.
        method: The derivation: "exact", "operator", ...
        numbers: The number behind each symbol that stands for one; exact binary values.
        pipeline: Returns the pipeline the formula describes from values of its structural parameters (``n``), for simulation.
        model: The tested fit of ``pipeline``, or a combination of fits; None means its last.
        name: Slug of the theorem, or "pipeline".
        family: The family of models that is simulated; None is linear regression.
        test_covariance: Name of the covariance of the test inputs; None is the common one.
        bindings: What stands for each symbol of the pipeline once some have been substituted, so that the simulation runs
            with the numbers of the formula; empty before.
        dropped: Symbols that no term contains any more (a derivative may lose some); values for them are accepted.
        remedies: What to do where a condition fails, by condition.
        isotropic: Whether it holds only where all live eigenvalues are equal.
        derivative: The symbols by which an error was differentiated to give this formula, in order.
        measured: What it is: "test error", "training error" or "cross-validation".
    """

    parts: Mapping[str, Expr]
    regime: Regime
    conditions: tuple[Boolean, ...] = ()
    references: tuple[str, ...] = ()
    method: str = "exact"
    numbers: Mapping[Symbol, Expr] = field(default_factory=lambda: MappingProxyType({}))
    pipeline: Callable[..., Pipeline] | None = None
    model: Fit | Source | None = None
    name: str = "pipeline"
    family: Any = None
    test_covariance: str | None = None
    bindings: Mapping[Symbol, Expr] = field(default_factory=lambda: MappingProxyType({}))
    dropped: tuple[Symbol, ...] = ()
    remedies: Mapping[Boolean, str] = field(default_factory=lambda: MappingProxyType({}))
    isotropic: bool = False
    derivative: tuple[Symbol, ...] = ()
    measured: Measured = "test error"

    def __post_init__(self) -> None:
        """Freeze the mappings; refuse two symbols of one name."""
        for name in _MAPPINGS:
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        by_name: dict[str, Symbol] = {}
        for x in sorted(self.free_symbols, key=str):
            if x.name in _arguments():
                raise DomainError(
                    f"{self.name} needs symbols other than the arguments of evaluate, got one named {x.name!r}; rename it"
                )
            if not is_literal(x) and by_name.setdefault(x.name, x) != x:
                raise DomainError(
                    f"{self.name} needs one symbol per name, got two named {shown(x.name)} with different assumptions; "
                    "use those of ct.symbols"
                )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, **{name: dict(getattr(self, name)) for name in _MAPPINGS}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            frozen = MappingProxyType(value) if name in _MAPPINGS else value
            object.__setattr__(self, name, frozen)

    # ------------------------------------------------------------------ symbols
    @property
    def terms(self) -> Mapping[str, Expr]:
        """Ordered mapping from term name to SymPy expression."""
        return MappingProxyType({name: self._shown(e) for name, e in self.parts.items()})

    @property
    def expr(self) -> Expr:
        """The sum of the terms."""
        return Add(*self.terms.values())

    def _sympy_(self) -> Expr:
        return self.expr

    @property
    def free_symbols(self) -> frozenset[Symbol]:
        """The symbols that take values at evaluation (``d`` comes from the spectrum)."""
        numbers = {x for e in self.numbers.values() for x in e.free_symbols}
        return frozenset((self.all_symbols - set(self.numbers)) | numbers)

    @property
    def all_symbols(self) -> frozenset[Symbol]:
        """The free symbols and those that stand for numbers."""
        found: set[Symbol] = set()
        for e in (*self.parts.values(), *self.conditions):
            found |= e.free_symbols
        return frozenset(found)

    @cached_property
    def implicit(self) -> tuple[Eq, ...]:
        """The defining equation of every implicit scalar, as SymPy ``Eq``, with the names :meth:`latex` gives them."""
        equations = implicit_equations(Add(*self.parts.values()), self.conditions)
        return tuple(Eq(*(self._shown(side) for side in eq.args), evaluate=False) for eq in equations)

    def _shown(self, e: Expr) -> Expr:
        return e.xreplace(dict(self.numbers))

    # ------------------------------------------------------------------ values
    def evaluate(
        self,
        *,
        spectrum: Spectra | None = None,
        target: Target | Tasks | None = None,
        overlaps: Tasks | None = None,
        terms: bool = False,
        digits: int | None = None,
        certified: bool = False,
        test_noise: Any = None,
        **values: Any,
    ) -> Any:
        """Return the test error (excess risk) at numbers.

        Args:
            spectrum: Eigenvalues of the input covariance; may be omitted where no integral or ``d`` occurs. For
                commuting covariances a mapping by name, eigenvalues listed in the common eigenbasis; the target pairs with
                "Sigma", or with the first if there is none of that name.
            target: Energies of the true coefficients, for formulas with a bias. Where rows are labelled by other truths too, a
                mapping from their names to targets, "w0" the tested one; :class:`~.Coefficients` have signs.
            overlaps: Of truths that have none, the products of the coefficients of each two by pair of names: an array, or for
                two :class:`~.RandomTarget` the number they sum to.
            terms: Return a mapping from term name to value instead of the sum.
            digits: Return mpmath numbers with so many significant digits; scalar arguments only, a float argument means
                its exact binary value.
            certified: Return an interval that contains the exact value, with at least 25 digits: an object with ``lower``,
                ``upper``, ``mid`` and ``radius``, mpmath numbers. Scalar arguments only; needs the extra ``certified``.
            test_noise: Standard deviation of the test point's label noise; its square is added.
            **values: One value per free symbol, by name; scalars or arrays that broadcast.

        Returns:
            float for scalars, else a float64 array of the broadcast shape; ``inf`` where the theory diverges.

        Raises:
            DomainError: If a value is missing, unknown, out of range, or violates a condition of the theorem.
        """
        if test_noise is not None and self.measured != "test error":
            raise DomainError(
                f"test_noise belongs to a test error, got test_noise={shown(test_noise)} for the {self.measured} of {self.name}, "
                "which has the noise of its labels in it; leave test_noise out"
            )
        predictor = self.compile(spectrum=spectrum, target=target, overlaps=overlaps)
        if flag(certified, "certified"):
            if digits is not None:
                raise DomainError(
                    f"certified= needs to be alone, got digits={digits!r} too; an interval says its own digits"
                )
            return predictor.certified(terms=terms, test_noise=test_noise, **values)
        if digits is not None:
            return predictor.digits(digits, terms=terms, test_noise=test_noise, **values)
        return predictor.evaluate(terms=terms, test_noise=test_noise, **values)

    def compile(
        self,
        *,
        spectrum: Spectra | None = None,
        target: Target | Tasks | None = None,
        overlaps: Tasks | None = None,
        backend: Literal["numpy", "jax"] = "numpy",
    ) -> Predictor:
        """Return a picklable predictor for many calls at one spectrum and target.

        Args:
            spectrum: Eigenvalues of the input covariance.
            target: Energies of the true coefficients, or of several truths a mapping by name.
            overlaps: Overlaps of several truths, as in :meth:`evaluate`.
            backend: Whose arrays it computes with: NumPy's, or with the optional extra ``jax`` those of JAX, for gradients
                and ``vmap``.

        Returns:
            A callable that takes the remaining values by name: ``predict(T=..., lam=...)``.
        """
        predictor: Predictor = through("ErrorFormula.compile")(
            self, spectrum=spectrum, target=target, overlaps=overlaps, backend=backend
        )
        return predictor

    def optimum(self, over: Any = "lam", **arguments: Any) -> Optimum:
        """Return where the error is least over an argument or a list of arguments.

        See :func:`~collapse_theory.study.optimum.optimal_ridge`.

        Args:
            over: The argument, or several.
            **arguments: ``spectrum``, ``target``, ``between``, and one value per other symbol.
        """
        found: Optimum = through("ErrorFormula.optimum")(self, over=over, **arguments)
        return found

    def break_even(self, over: Any, *, level: Any, **arguments: Any) -> BreakEven:
        """Return where the error equals another one, over one argument.

        See :func:`~collapse_theory.study.break_even.break_even`.

        Args:
            over: The argument.
            level: The error at other arguments, a mapping; another formula; or a number.
            **arguments: ``spectrum``, ``target``, ``between``, and one value per other symbol.
        """
        found: BreakEven = through("ErrorFormula.break_even")(self, over, level=level, **arguments)
        return found

    def infer(self, observed: Any, over: Any, **arguments: Any) -> Inference:
        """Return the unknowns that make an observed error curve, with their uncertainty.

        See :func:`~collapse_theory.study.inverse.infer`.

        Args:
            observed: Test errors at known arguments.
            over: The unknown, or several.
            **arguments: ``errors``, ``spectrum``, ``target``, ``test_noise``, ``between``, and the known values by name.
        """
        found: Inference = through("ErrorFormula.infer")(self, observed, over=over, **arguments)
        return found

    def sweep(self, **arguments: Any) -> Any:
        """Return the error over a grid of arguments with named axes, with ``trials=`` beside simulations.

        See :func:`~collapse_theory.study.sweep.sweep`. Needs the extra ``data``.

        Args:
            **arguments: Lists are axes, numbers are fixed; ``spectrum``, ``target``, ``trials``, ``seed``, ``jobs``,
                ``progress``, ``checkpoint``.

        Returns:
            An ``xarray.DataArray``; with ``trials=`` a ``Dataset`` of theory, mean and sem.
        """
        return through("ErrorFormula.sweep")(self, **arguments)

    def plot(self, over: str, **arguments: Any) -> Any:
        """Return a picture of the error over one argument, with ``trials=`` beside simulations.

        See :func:`~collapse_theory.present.sweep_figure.plot`.

        Args:
            over: The argument on the horizontal axis.
            **arguments: As of :meth:`sweep`; a second list is one curve per value.
        """
        return through("ErrorFormula.plot")(self, over, **arguments)

    def corrected(self) -> ErrorFormula:
        r"""Return the formula with its first finite-size correction, for chains on samples of their own.

        Proportional theory is off by about :math:`1/(T-\mathrm{df}_2)` in each fit; the corrected formula by the square of that.
        Its regime stays "proportional", its method is "corrected", its terms keep their names. A formula that is exact, or
        corrected already, is returned as it is. The derivative at a ridge of 0 is the one from the right.

        Raises:
            DomainError: If no correction is known: the pipeline is no chain (``validate(..., extrapolate=True)`` measures what
                finite size does), or this is not the test error of a pipeline. Evaluation raises it where a fit has no more than
                about one residual degree of freedom.

        >>> import collapse_theory as ct
        >>> err = ct.catalog["ridge-clean"].error.corrected()
        >>> round(err.evaluate(spectrum=ct.Isotropic(10), target=ct.RandomTarget(), T=31, lam=0, sigma=1), 12)  # d/(T - d - 1)
        0.5
        """
        return corrected(self)

    @cached_property
    def program(self) -> Any:
        """What evaluation needs, compiled once: the plan of numeric steps, the symbols and the conditions."""
        return through("ErrorFormula.program")(self)

    # ------------------------------------------------------------------ algebra
    def diff(self, name: str | Symbol) -> ErrorFormula:
        """Return the derivative with respect to a symbol, through the implicit scalars, as a formula.

        Args:
            name: A free symbol or its name.

        Raises:
            DomainError: If there is no such symbol, or no derivative by it: the dimension changes the spectrum, and with it
                every trace.
        """
        x = self.symbol(name)
        self._refuse_dimension(x, "diff")
        if x not in self._derivatives:
            self._derivatives[x] = self._derivative(x)
        return self._derivatives[x]

    @cached_property
    def _derivatives(self) -> dict[Symbol, ErrorFormula]:
        """Those that were asked for: a search asks again and again, and compiling one takes longer than a thousand points."""
        return {}

    def _derivative(self, x: Symbol) -> ErrorFormula:
        parts = {k: collected(of_squares(spread(e), x).diff(x)) for k, e in self.parts.items()}
        out = replace(self, parts=parts, pipeline=None)
        lost = (self.free_symbols - out.free_symbols) | set(self.dropped)
        return replace(out, dropped=tuple(sorted(lost, key=str)), derivative=(*self.derivative, x))

    def subs(self, values: Mapping[Symbol | str, Any]) -> ErrorFormula:
        """Return the formula with symbols replaced by numbers or expressions, in terms and conditions.

        Args:
            values: Replacement by symbol or name.

        Raises:
            DomainError: If there is no such symbol, or a value is outside its range.
        """
        change: dict[Symbol, Expr] = {}
        domain: list[Boolean] = []
        for key, value in instance(values, Mapping, "values", "write {'lam': 0.5}", DomainError).items():
            x = self.symbol(key)
            self._refuse_dimension(x, "subs")
            change[x] = new = value_for(x, value)
            if x.is_nonnegative:  # what cannot be decided yet is checked at evaluation
                domain.append(Gt(new, 0) if x.is_positive else Ge(new, 0))
        out = self.mapped(lambda e: e.subs(change, simultaneous=True))
        before = self.bindings or {x: x for x in self.free_symbols}
        bindings = {x: e.subs(change, simultaneous=True) for x, e in before.items()}
        kept = (*out.conditions, *(c for c in domain if c is not S.true))
        return replace(out, conditions=kept, bindings=bindings)

    def _refuse_dimension(self, x: Symbol, verb: str) -> None:
        """Refuse to treat ``d`` as a free parameter where traces over the spectrum depend on it too."""
        if x == dimension and self.program.plan.needs_spectrum:
            raise DomainError(
                f"{verb} needs a symbol that the spectrum does not fix, got 'd': the traces of {self.name} are sums over its "
                "eigenvalues; evaluate with spectra of different dimensions"
            )

    def described(self, values: Mapping[str, Any]) -> tuple[Pipeline, dict[str, Any]]:
        """Return the pipeline whose test error the formula is, and the values of the pipeline's symbols.

        Args:
            values: Values of the formula's symbols by name, scalars.
        """
        if self.pipeline is None:
            raise AssertionError(f"{self.name} is not the test error of a pipeline")
        own = {x.name: x for x in self.free_symbols}
        given = {own[k]: v for k, v in values.items() if k in own and own[k] != dimension}
        if self.bindings:
            given = {x: _number(e, given) for x, e in self.bindings.items() if x != dimension}
        named = {x.name: v for x, v in given.items()}
        pipe = self.pipeline() if self.model is not None else self.pipeline(**named)
        used = {x.name for x in pipe.free_symbols}
        return pipe, {k: v for k, v in named.items() if k in used}

    def mapped(self, change: Callable[[Any], Any]) -> ErrorFormula:
        """Return the formula with ``change`` applied to every term and condition; conditions that become true drop out."""
        kept = tuple(c for c in map(change, self.conditions) if c is not S.true)
        if S.false in kept:
            raise DomainError(f"{self.name} does not hold there: a condition among {self.conditions} becomes false")
        return replace(
            self,
            parts={k: change(e) for k, e in self.parts.items()},
            conditions=kept,
            remedies={change(c): text for c, text in self.remedies.items()},
        )

    def doit(self, spectrum: Spectrum | None = None) -> ErrorFormula:
        """Unfold opaque objects; with a spectrum, take its integrals in closed form where one exists.

        The closed form is a formula like any other: it has values (without a spectrum), derivatives, also by the spectrum's own
        symbols, and LaTeX. An effective ridge is the root of the polynomial equation that the eigenvalues give, one object that
        is evaluated without cancellation and printed with its equation; for one eigenvalue ``expr.doit()`` writes it out.

        Args:
            spectrum: Isotropic or Spiked, with numbers or symbols. In the quadratic forms the target's energy is ``rho2`` in all
                (Isotropic), ``w2_j`` per spike and ``w2_bulk``. A further covariance is taken to be isotropic, its eigenvalue
                the symbol of its name.

        Raises:
            DomainError: If the spectrum has no closed form.
        """
        if spectrum is None:
            return self.mapped(unfolded)
        out = self.mapped(lambda e: closed_form(e, spectrum, self.conditions))
        spikes = len(getattr(spectrum, "spikes", ()))
        enough = (spectrum.d - spikes).is_nonnegative
        return out if enough else replace(out, conditions=(*out.conditions, Ge(spectrum.d, spikes)))

    def symbol(self, name: str | Symbol) -> Symbol:
        """Return the free symbol of that name.

        Raises:
            DomainError: If there is none.
        """
        wanted = name.name if isinstance(name, Symbol) else word(name, "a symbol", DomainError)
        for x in self.free_symbols:
            if x.name == wanted:
                return x
        raise DomainError(
            f"{self.name} has no symbol {shown(wanted)}{nearest(wanted, [x.name for x in self.free_symbols])}"
        )

    # ------------------------------------------------------------------ print
    def latex(
        self,
        *,
        notation: Mapping[str, str] | None = None,
        definitions: bool = False,
        width: float | None = None,
        environment: str = "aligned",
        underbrace: bool = False,
        macros: bool = False,
    ) -> str:
        r"""Return the named terms, the equations of the implicit scalars and the conditions, ready to paste.

        Args:
            notation: A LaTeX name by the name of a symbol, ``{"T": "n", "lam": r"\gamma", "Sigma": "C"}``.
            definitions: Whether what the symbols mean is said below.
            width: About how many characters a line may have; None fits a page.
            environment: "aligned" (to paste into a display), "align", "align*", "equation", "equation*" or "theorem".
            underbrace: Whether each term stands above a brace that says what it is.
            macros: Whether operators are commands such as ``\tr``, which ``collapse-theory macros`` defines.

        Raises:
            DomainError: If a name is unknown, two symbols would print alike, or there is no such environment.

        >>> import collapse_theory as ct
        >>> print(ct.catalog["ols-replace"].error.subs({"n": 0}).latex(notation={"T": "n", "d": "p"}))
        \begin{aligned}
        E &= \frac{p \sigma^{2}}{n - p - 1} \\
        &\text{for } n \geq p + 2,\ T_{0} \geq p + 2
        \end{aligned}
        """
        if notation is not None:
            instance(notation, Mapping, "notation", 'write {"T": "n", "lam": r"\\gamma"}', DomainError)
        said = flag(definitions, "definitions")
        most = None if width is None else float(real(width, "width", positive=True, number=True))
        instance(environment, str, "environment", 'write "aligned"', DomainError)
        braces, short = flag(underbrace, "underbrace"), flag(macros, "macros")
        if notation is None and not (said or braces or short) and most is None and environment == "aligned":
            return self._printed
        printed: str = through("ErrorFormula.latex")(
            self,
            notation=notation,
            definitions=said,
            width=most,
            environment=environment,
            underbrace=braces,
            macros=short,
        )
        return printed

    def code(self, language: str = "numpy") -> str:
        r"""Return source that computes the test error without this package, from the plan by which it is evaluated.

        Args:
            language: "numpy" or "julia": a function ``test_error`` of the eigenvalues ``s``, the energies ``w2`` and the
                parameters by name, with solvers for what is implicit, which needs NumPy alone or base Julia; conditions are
                checked. "sympy": the expressions and equations in plain SymPy. "unicode": text for a terminal.

        Raises:
            DomainError: If there is no such language, or the formula has a part without source in it (the message says which
                and what to do instead).

        >>> import collapse_theory as ct
        >>> print(ct.catalog["ols-replace"].error.subs({"n": 0}).code("unicode"))
        E = d σ² / (T - d - 1)
          for T ≥ d + 2, T₀ ≥ d + 2
        """
        written: str = through("ErrorFormula.code")(self, language)
        return written

    def to_json(self) -> str:
        """Return the formula as JSON text: all that it says, for :func:`~collapse_theory.present.json_formula.from_json`.

        What is read back has the same expressions, hence the same values, derivatives and LaTeX.

        Raises:
            DomainError: If text cannot say a part of it: a model or a family of a user's own.

        >>> import collapse_theory as ct
        >>> err = ct.catalog["ridge-clean"].error
        >>> ct.from_json(err.to_json()) == err
        True
        """
        written: str = through("ErrorFormula.to_json")(self)
        return written

    @cached_property
    def _printed(self) -> str:
        """The print without options, made once."""
        printed: str = through("ErrorFormula.latex")(self)
        return printed

    def _latex(self, printer: Any) -> str:  # noqa: ARG002 - SymPy's hook; its own printer does not know these symbols
        return self.latex()

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}\n$$"

    def __repr__(self) -> str:
        return f"ErrorFormula({self.name}: {' + '.join(self.parts)}; {self.regime})"


@lru_cache(maxsize=1)
def _arguments() -> frozenset[str]:
    """Return the names of the arguments of ``evaluate`` beside which values are passed."""
    parameters = signature(ErrorFormula.evaluate).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY)


def value_for(x: Symbol, value: Any) -> Expr:
    """Return a value or expression for a symbol, in the symbol's range as far as that can be decided.

    Raises:
        DomainError: If it is out of range.
    """
    return real(
        value, x.name, positive=bool(x.is_positive), nonnegative=bool(x.is_nonnegative), integer=bool(x.is_integer)
    )


def _number(e: Expr, values: Mapping[Symbol, Any]) -> Any:
    """Return the value of an expression: an integer where it is one, else a float."""
    at = e.xreplace({x: real(v, x.name) for x, v in values.items()})
    return int(at) if at.is_Integer else float(at)
