"""Test error against what is seen from inside, over generations trained on each other's labels of handwritten digits.

Usage: python examples/inside.py [OUT] [TRIALS]   (writes OUT.csv and OUT.png)
"""

import sys
from pathlib import Path

import collapse_theory as ct
from collapse_theory.describe.data import dataset
from collapse_theory.present.inside_figure import draw_inside
from collapse_theory.study.generations_inside import as_csv, generations_inside


def main(out: str = "inside", trials: str = "40") -> None:
    """Compute theory and simulations and write their table and figure."""
    stage = ct.Stage(T=200, noise=0.3, ridge=0.05)
    points = generations_inside(ct.workflows.replace(5, stage, stage), dataset("digits"), trials=int(trials))
    Path(f"{out}.csv").write_text(as_csv(points), encoding="utf-8")
    draw_inside(points, "Collapse is invisible from inside: handwritten digits").savefig(f"{out}.png", dpi=150)
    truth, seen = ([p.theory for p in points if p.measured == m] for m in ("test error", "cross-validation"))
    print(
        f"test error {truth[0]:.3f} to {truth[-1]:.3f}, cross-validation {seen[0]:.3f} to {seen[-1]:.3f}; see {out}.csv, .png"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
