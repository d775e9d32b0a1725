"""Unigram and bigram models recursively trained on a text: theory against simulation.

Usage: python examples/text_collapse.py TEXT [OUT]   (writes OUT_unigram.csv, .png and OUT_bigram.csv, .png)
"""

import sys
from pathlib import Path

from collapse_theory.families.text import as_csv, bigram, read_tokens, text_collapse, unigram
from collapse_theory.present.text_figure import draw_text_collapse


def main(text: str, out: str = "text") -> None:
    """Compute both models and write their tables and figures."""
    models = {
        "unigram": unigram(read_tokens(text, "word")),
        "bigram": bigram(read_tokens(text, "character"), rows=10_000),
    }
    for name, contexts in models.items():
        points = text_collapse(contexts, generations=10)
        Path(f"{out}_{name}.csv").write_text(as_csv(points), encoding="utf-8")
        draw_text_collapse(points).savefig(f"{out}_{name}.png", dpi=150)
        worst = max(abs(p.simulated - p.theory) / p.sem for p in points if p.lower == p.upper and p.sem > 0)
        print(
            f"{name}: {len(points)} points, largest z-score of the exact ones {worst:.2f}; see {out}_{name}.csv, .png"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
