r"""Unigram and bigram models trained on a real text, then on what they generate: theory against simulation.

The truth is the empirical distribution of the text. A unigram model is one token distribution; a bigram model is one
per context, with the contexts kept as prompts: each gets its fixed share of the rows in every round.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import integer
from collapse_theory.core.reading import as_path, read_text
from collapse_theory.describe import workflows
from collapse_theory.describe.pipeline import Pipeline, Stage
from collapse_theory.families.categorical import Categorical
from collapse_theory.families.sampling import Run, TokenSampler
from collapse_theory.families.token_errors import distinct_tokens, total_variations

__all__ = [
    "QUANTITIES",
    "WORKFLOWS",
    "Context",
    "TextPoint",
    "as_csv",
    "bigram",
    "read_tokens",
    "text_collapse",
    "unigram",
]

_MOST_ROWS = 10**9
_MOST = 10_000  # generations and runs of one report
_EFFORT = 2e9  # over all contexts of a workflow; beyond it total variation is given by its bounds
QUANTITIES = ("distinct tokens", "diversity", "total variation")
WORKFLOWS: dict[str, Callable[[int, Stage], Pipeline]] = {
    "replace": lambda n, stage: workflows.replace(n, stage, stage),
    "accumulate": lambda n, stage: workflows.accumulate(n + 1, stage),
    "keep_real": lambda n, stage: workflows.keep_real(n, stage, stage),
}
"""Each with ``n + 1`` fits, the first of them clean."""


@dataclass(frozen=True, eq=False)
class Context:
    """The next-token distribution after one context.

    Attributes:
        family: The distribution in the text.
        rows: Rows that each round draws in this context.
        weight: Share of the context in the text.
    """

    family: Categorical
    rows: int
    weight: float


@dataclass(frozen=True)
class TextPoint:
    """One quantity of one workflow after some generations.

    Attributes:
        workflow: "replace", "accumulate" or "keep_real".
        generation: Models trained on synthetic data before the tested one; 0 is clean.
        quantity: One of ``QUANTITIES``.
        theory: Exact value, or the leading-order value where only bounds are exact.
        lower: Lower bound (the value if exact).
        upper: Upper bound (the value if exact).
        simulated: Mean over the runs.
        sem: Its standard error.
    """

    workflow: str
    generation: int
    quantity: str
    theory: float
    lower: float
    upper: float
    simulated: float
    sem: float

    @property
    def exact(self) -> bool:
        """Whether the theory is exact."""
        return self.lower == self.upper

    @property
    def z(self) -> float:
        """Simulated mean minus theory in standard errors; 0 if every run agreed, where sampling shows no spread."""
        return (self.simulated - self.theory) / self.sem if self.sem > 0 else 0.0


def read_tokens(path: str | Path, unit: str = "word") -> list[str]:
    """Return the tokens of a text file in order.

    Args:
        path: UTF-8 text.
        unit: "word" (lower-case words) or "character".

    Raises:
        DomainError: If the file cannot be read, has fewer than two tokens, or ``unit`` is unknown.
    """
    if unit not in {"word", "character"}:
        raise DomainError(f"unit needs to be 'word' or 'character', got {shown(unit)}; choose one of them")
    text = read_text(as_path(path, "path", DomainError), "text", error=DomainError)
    tokens = list(text) if unit == "character" else re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", text.lower())
    if len(tokens) < 2:
        raise DomainError(
            f"path needs a text of at least two tokens, got {len(tokens)} in {shown(str(path))}; use a longer text"
        )
    return tokens


def unigram(tokens: Sequence[str], rows: int | None = None) -> list[Context]:
    """Return the token distribution as one context.

    Args:
        tokens: The text.
        rows: Rows of each round; None is the length of the text.

    >>> unigram(list("abab"))[0].family.p.tolist()
    [0.5, 0.5]
    """
    return [_context(Counter(tokens), _positive(rows, len(tokens)), 1.0)]


def bigram(tokens: Sequence[str], rows: int | None = None) -> list[Context]:
    """Return the next-token distribution of every context, most frequent first.

    Args:
        tokens: The text.
        rows: Rows of each round over all contexts; None is the length of the text. Contexts share them in proportion to
            their frequency; contexts that would get less than one row are left out.

    >>> [c.rows for c in bigram(list("ababac"))]
    [3, 2]
    """
    total = len(tokens) - 1
    size = _positive(rows, total)
    following: dict[str, Counter[str]] = {}
    for a, b in itertools.pairwise(tokens):
        following.setdefault(a, Counter())[b] += 1
    counts = sorted(following.items(), key=lambda item: (-item[1].total(), item[0]))
    kept = [c for _, c in counts if round(c.total() * size / total) >= 1]
    weight = sum(c.total() for c in kept)
    return [_context(c, round(c.total() * size / total), c.total() / weight) for c in kept]


def text_collapse(
    contexts: Sequence[Context],
    generations: int = 10,
    runs: int = 20,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[TextPoint]:
    """Return theory and simulation of every quantity, workflow and generation.

    Args:
        contexts: From :func:`unigram` or :func:`bigram`.
        generations: Generations on synthetic data, >= 0.
        runs: Simulated runs, >= 2.
        seed: Seed, >= 0.
        progress: Called with the workflow, the workflows done, and how many there are.

    Raises:
        DomainError: If an argument is out of range.
    """
    generations = integer(generations, "generations", least=0, most=_MOST, remedy="count generations on synthetic data")
    runs = integer(runs, "runs", least=2, most=_MOST, remedy="one run has no standard error")
    seed = integer(seed, "seed", least=0, remedy="seeds count from 0")
    points = []
    for done, (name, build) in enumerate(WORKFLOWS.items()):
        progress(name, done, len(WORKFLOWS))
        pipelines = [build(generations, Stage(T=c.rows)) for c in contexts]
        simulated = _simulate(contexts, pipelines, runs, seed)
        theories = _theory(contexts, pipelines).tolist()
        for g, values in enumerate(theories):
            for q, quantity in enumerate(QUANTITIES):
                sample = simulated[:, g, q]
                sem = float(sample.std(ddof=1) / np.sqrt(runs))
                theory, lower, upper = values[q]
                points.append(TextPoint(name, g, quantity, theory, lower, upper, float(sample.mean()), sem))
    return points


def as_csv(points: Sequence[TextPoint]) -> str:
    """Return the points as CSV with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [f.name for f in fields(TextPoint)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(p) for p in points)
    return out.getvalue()


def _context(counts: Counter[str], rows: int, weight: float) -> Context:
    n = np.array([c for _, c in sorted(counts.items())], dtype=float)
    return Context(Categorical(n / n.sum()), rows, weight)


def _positive(rows: int | None, default: int) -> int:
    if rows is None:
        return default
    return integer(rows, "rows", least=1, most=_MOST_ROWS, remedy="give the rows of each round")


def _theory(contexts: Sequence[Context], pipelines: Sequence[Pipeline]) -> np.ndarray:
    """Return (value, lower, upper) of each quantity, shape (fits, 3, 3): summed over contexts for tokens, averaged otherwise."""
    total = np.zeros((len(pipelines[0].fits), 3, 3))
    for c, pipe in zip(contexts, pipelines, strict=True):
        p = c.family.p
        variations = total_variations(pipe, pipe.fits, p, _EFFORT / len(contexts))
        for g, (fit, variation) in enumerate(zip(pipe.fits, variations, strict=True)):
            distinct = distinct_tokens(pipe, fit, p, _EFFORT / len(contexts) / len(pipe.fits))
            total[g, 0] += (distinct.value, distinct.lower, distinct.upper)
            total[g, 1] += c.weight * c.family.diversity(pipe, fit)
            total[g, 2] += c.weight * np.array([variation.value, variation.lower, variation.upper])
    return total


def _simulate(contexts: Sequence[Context], pipelines: Sequence[Pipeline], runs: int, seed: int) -> np.ndarray:
    """Return the quantities of every run and generation, shape (runs, generations + 1, 3)."""
    out = np.zeros((runs, len(pipelines[0].fits), 3))
    for number, (c, pipe) in enumerate(zip(contexts, pipelines, strict=True)):
        run = Run(pipe, len(pipe.fits) - 1, TokenSampler(c.family.p))
        for i in range(runs):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i, number)))
            for g, model in run.models(rng).items():
                out[i, g, 0] += (model > 0).sum()
                out[i, g, 1] += c.weight * (1 - (model**2).sum())
                out[i, g, 2] += c.weight * np.abs(model - c.family.p).sum() / 2
    return out
