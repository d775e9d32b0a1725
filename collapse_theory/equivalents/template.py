"""Test errors of whole pipelines as opaque SymPy scalars of the pipeline's parameters.

Where an explicit formula exists but is too long to read (or only numbers are wanted), the scalar keeps the *template*, the
pipeline with canonical parameter symbols, and its parameters as arguments. Substitution, free symbols and pickling then work as
for any function; evaluation runs the theory's recursion on arrays, whose cost does not grow with the unfolded expression.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sympy import AtomicExpr, Expr, S

from collapse_theory.describe.pipeline import Fit, OneOf, Pipeline, Sample, Truth
from collapse_theory.symbols import parameter

__all__ = ["PipelineScalar", "Template", "parametrised"]


class Template(AtomicExpr):
    """A pipeline with canonical parameters and its tested fit; equal structures are equal objects.

    Args:
        pipeline: Whose parameters are expressions in ``symbols.parameter(i)``.
        model: Index of the tested fit.
        test_covariance: Name of the covariance of the test inputs; None is the common one.
    """

    is_commutative = True
    pipeline: Pipeline
    test_covariance: str | None

    def __new__(cls, pipeline: Pipeline, model: int, test_covariance: str | None = None) -> Template:
        """Return the template."""
        self = super().__new__(cls)
        self.pipeline, self.index, self.test_covariance = pipeline, model, test_covariance
        return self

    @property
    def model(self) -> Fit:
        """The tested fit."""
        return self.pipeline.fits[self.index]

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        return tuple(_content(node) for node in self.pipeline.nodes)

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self._key, self.index, self.test_covariance)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.pipeline, self.index, self.test_covariance)

    def __reduce__(self) -> Any:
        return (type(self), self.__getnewargs__())

    def sort_key(self, order: Any = None) -> Any:  # noqa: ARG002 - SymPy passes it by name
        """Order templates by their text."""
        return self.class_key(), (1, (str(self._key),)), S.One.sort_key(), S.One

    def _sympystr(self, printer: Any) -> str:  # noqa: ARG002 - SymPy's hook passes it
        return f"{len(self.pipeline.fits)} fits"


def _content(node: Sample | Fit) -> tuple[Any, ...]:
    """Return what a node says, with other nodes by their index; names do not matter."""
    if isinstance(node, Fit):
        return ("fit", tuple(s.index for s in node.samples), node.weights, node.ridge)

    def place(m: Truth | Fit) -> int:
        return m.index if isinstance(m, Fit) else -1

    if isinstance(node.source, OneOf):
        source: tuple[Any, ...] = ("one of", *(place(m) for m in node.source.labellers))
    else:
        source = tuple((place(m), c) for m, c in node.source)
    design = None if node.design is None else node.design.index
    return ("sample", node.T, node.noise, source, design, node.covariance, tuple(s.index for s in node.pool))


def parametrised(
    pipeline: Pipeline, model: Fit, test_covariance: str | None = None
) -> tuple[Template, tuple[Expr, ...]]:
    """Return the template of a pipeline and the symbols that stood for its parameters.

    >>> from collapse_theory.describe.workflows import accumulate
    >>> from collapse_theory.describe.pipeline import Stage
    >>> from collapse_theory.symbols import T, lam, N
    >>> one, two = (accumulate(3, Stage(T=x, ridge=lam)) for x in (T, N))
    >>> parametrised(one, one.fits[-1])[0] == parametrised(two, two.fits[-1])[0]
    True
    """
    order: dict[Any, None] = {}
    for e in pipeline.parameters():
        order.update(dict.fromkeys(sorted(e.free_symbols, key=lambda x: x.name)))
    change = {x: parameter(i, x) for i, x in enumerate(order)}
    return Template(pipeline.replaced(change), model.index, test_covariance), tuple(order)


class PipelineScalar(Expr):
    """Base: one part of the test error of a template at given parameters.

    Args:
        template: The structure.
        parameters: Expressions for ``symbols.parameter(0)``, ``symbols.parameter(1)``, ...
    """

    is_commutative = True
    is_extended_real = True
    is_nonnegative = True
    part: str

    def __new__(cls, template: Template, *parameters: Expr) -> Expr:
        """Return the scalar."""
        return Expr.__new__(cls, template, *parameters)

    @property
    def template(self) -> Template:
        """The structure."""
        return self.args[0]

    @property
    def parameters(self) -> tuple[Expr, ...]:
        """The parameters."""
        return self.args[1:]

    @property
    def bound(self) -> tuple[Pipeline, Fit]:
        """The pipeline with the parameters put in, and its tested fit."""
        symbols = {x for e in self.template.pipeline.parameters() for x in e.free_symbols}
        by_place = {parameter_index(x): x for x in symbols}
        pipe = self.template.pipeline.replaced({by_place[i]: e for i, e in enumerate(self.parameters)})
        return pipe, pipe.fits[self.template.index]

    def _sympystr(self, printer: Any) -> str:
        arguments = ", ".join(printer.doprint(e) for e in self.parameters)
        return f"{self.part}[{printer.doprint(self.template)}]({arguments})"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        arguments = ", ".join(printer.doprint(e) for e in self.parameters)
        head = rf"\mathrm{{{self.part}}}" + ("" if exp is None else f"^{{{exp}}}")
        return rf"{head}\left({arguments}\right)"


def parameter_index(x: Expr) -> int:
    """Return the place of a canonical parameter."""
    return int(x.name.rpartition("#")[2])
