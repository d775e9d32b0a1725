"""Where one may begin: a sentence and a state each, and every workflow as a description to change."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_theory.explore.state import State

__all__ = ["PRESETS", "WORKFLOWS", "Preset"]


@dataclass(frozen=True)
class Preset:
    """A beginning.

    Attributes:
        name: On its button.
        sentence: What is to be seen.
        state: What it loads.
        moved: The sliders of the static page, with their stops.
    """

    name: str
    sentence: str
    state: State
    moved: tuple[tuple[str, tuple[float, ...]], ...]


_STRONG = """\
title = "Strong collapse: one synthetic row for every four real ones"

[[sample]]
name = "seed"
T = "T0"
noise = "sigma"

[[fit]]
name = "generator"
data = ["seed"]
ridge = "lam0"

[[sample]]
name = "real"
T = "4*T"
noise = "sigma"

[[sample]]
name = "fake"
T = "T"
noise = "sigma"
source = "generator"

[[fit]]
name = "m"
data = ["real", "fake"]
ridge = "lam"
"""

PRESETS = (
    Preset(
        "Collapse",
        "Each model is trained on the labels of the one before: every generation adds to the error, and asks for a larger ridge.",
        State("ridge-replace", values={"n": 4, "T": 600, "T0": 900, "sigma": 0.5, "sigma0": 0.5, "lam": 0.01}),
        (("n", (0, 1, 2, 4, 8, 12)), ("T", (300, 600, 2000)), ("sigma0", (0.25, 0.5, 1))),
    ),
    Preset(
        "Accumulate",
        "All data are kept and new rows are added to them: the error stays bounded, however many rounds follow.",
        State("ols-accumulate", "n", "isotropic:d=300", "random:norm2=1", {"T": 600, "sigma": 0.5, "n": 8}),
        (("T", (330, 400, 600, 1200, 5000)), ("sigma", (0.25, 0.5, 1))),
    ),
    Preset(
        "Strong collapse",
        "One synthetic row among five: more rows help only down to a floor, which is what their generator did not know.",
        State(_STRONG, "T", values={"T0": 100, "T": 1000, "sigma": 0.5, "lam0": 0.1, "lam": 0.001}),
        (("T0", (30, 100, 300, 1000)), ("sigma", (0.25, 0.5, 1)), ("lam", (0.0001, 0.001, 0.01))),
    ),
    Preset(
        "Golden ratio",
        "Real labels are mixed into synthetic ones again and again: the best share of real ones is 1/φ = 0.618.",
        State("minnorm-label-mix", "w", values={"T": 600, "sigma": 0.5, "w": 0.3}),
        (("T", (100, 250, 400, 600, 2000)), ("sigma", (0.25, 0.5, 1))),
    ),
    Preset(
        "Weak to strong",
        "A small teacher labels for a large student, who may do better than its teacher; the ridge decides.",
        State(
            "weak-to-strong",
            values={"T": 600, "T0": 600, "sigma": 0.5, "sigma0": 0.5, "lam": 0.01, "lam0": 0.01, "m": 300, "m0": 30},
        ),
        (("m", (30, 100, 300, 1000)), ("m0", (10, 30, 100)), ("T", (300, 600, 5000))),
    ),
)
"""What the buttons of the page load."""


_STAGE = """
stage.T = "T"
stage.noise = "sigma"
stage.ridge = "lam"
"""
_REAL = """
real.T = "T"
real.noise = "sigma"
real.ridge = "lam"
synthetic.T = "T0"
synthetic.noise = "sigma0"
synthetic.ridge = "lam"
"""
_REPLACED = """
generator.T = "T0"
generator.noise = "sigma0"
generator.ridge = "lam0"
downstream.T = "T"
downstream.noise = "sigma"
downstream.ridge = "lam"
"""


def _workflow(title: str, name: str, stages: str, more: str = "") -> tuple[str, str]:
    return title, f'title = "{title}"\nworkflow = "{name}"\ngenerations = 3\n{more}{stages.lstrip()}'


WORKFLOWS = dict(
    (
        _workflow("Replace: every generation on labels of the one before", "replace", _REPLACED),
        _workflow("Accumulate: all data are kept", "accumulate", _STAGE),
        _workflow("Keep the real data", "keep_real", _REAL),
        _workflow("Fresh real data every round", "fresh_real", _REAL),
        _workflow("The last k samples", "last_k", _STAGE, "k = 2\n"),
        _workflow("Mix labels on one design", "label_mix", _STAGE, 'weight = "w"\n'),
    )
)
"""By what the menu says."""
