"""The report of a study: a standalone LaTeX document (and its PDF where a TeX engine is), figures, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from collapse_theory.check.diagnosis import Diagnosis
from collapse_theory.core.writing import whole_folder, write_file
from collapse_theory.describe.files import Settings
from collapse_theory.present.bibliography import bibtex
from collapse_theory.present.document import beyond_latin, study_document, study_sources
from collapse_theory.present.figures import draw_study
from collapse_theory.simulate.trial import digest
from collapse_theory.study.report_study import Study, run_study

__all__ = [
    "REPORT_FILES",
    "TEX_ENGINES",
    "compile_tex",
    "not_compiled",
    "save_figure",
    "study_data",
    "write_json",
    "write_report",
]

TEX_ENGINES = ("pdflatex", "lualatex", "xelatex", "tectonic")
_ENDS = {"figure": ("pdf", "png"), "pipeline": ("pdf", "png"), "report": ("csv", "json", "pdf", "tex")}
REPORT_FILES = tuple(f"{stem}.{end}" for stem, ends in _ENDS.items() for end in ends)
"""Every name that a report may have in its folder."""

_TEX_SECONDS = 120


def write_report(
    settings: Settings, folder: Path, progress: Callable[[str, int, int], None] = lambda *_: None
) -> tuple[Study, list[Path]]:
    """Run the study of a file and write its report.

    Files appear whole or not at all; finished simulations are kept beside the folder until the report stands, so an
    interrupted report resumes.

    Args:
        settings: From ``ct.load``.
        folder: Where the report goes; existing files of the same names are replaced.
        progress: See :func:`.run_study`.

    Returns:
        The study and the files written.
    """
    with whole_folder(folder, REPORT_FILES) as (scratch, workshop):
        trials = _trials_of(settings, workshop) if settings.inputs else None
        study = run_study(settings, progress=progress, checkpoints=trials)
        save_figure(draw_study(study), scratch / "figure")
        save_figure(study.series[0].pipeline.draw(), scratch / "pipeline", bbox_inches="tight")
        _write_csv(study, scratch / "report.csv")
        write_json(study_data(study), scratch / "report.json")
        write_file(scratch / "report.tex", study_document(study), "report")
        write_file(scratch / "report.bib", bibtex(study_sources(study)) + "\n", "report")
        compile_tex(scratch / "report.tex")
        names = sorted(p.name for p in scratch.iterdir())
    return study, [folder / name for name in names]


def _trials_of(settings: Settings, workshop: Path) -> Path:
    """Return the folder of this study's finished trials; those that an interrupted other study left are removed."""
    spectrum, target = settings.spectrum, settings.target
    name = "trials-" + digest(
        repr(settings.recipe),
        repr(settings.curves),
        repr(sorted(settings.values.items())),
        repr([(k, v.tolist()) for k, v in settings.sweep.items()]),
        settings.method,
        settings.family,
        settings.measured,
        settings.inputs,
        settings.seed,
        None if settings.data is None else settings.data.name,
        None if spectrum is None else spectrum.nodes,
        None if spectrum is None or target is None else target.energies(spectrum),
    )
    for other in workshop.glob("trials-*"):
        if other.name != name:
            shutil.rmtree(other, ignore_errors=True)
    folder = workshop / name
    folder.mkdir(exist_ok=True)
    return folder


def save_figure(figure: Figure, stem: Path, **options: Any) -> None:
    """Save a figure as ``stem.pdf`` and ``stem.png``."""
    for suffix, dpi in ((".pdf", "figure"), (".png", 160)):
        picture = io.BytesIO()
        figure.savefig(picture, format=suffix[1:], dpi=dpi, **options)
        write_file(stem.with_suffix(suffix), picture.getvalue(), "figure")


def write_json(data: Mapping[str, Any], path: Path) -> None:
    """Write plain data as strict JSON."""
    write_file(path, json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n", "report")


def compile_tex(source: Path) -> Path | None:
    """Compile a document beside its source; None if no TeX engine is installed.

    An engine whose installation lacks fonts or packages gives way to the next one.

    Raises:
        RuntimeError: If every installed engine fails: the document is ours, so that is a bug.
    """
    engines: tuple[str, ...] = TEX_ENGINES
    if beyond_latin(source.read_text(encoding="utf-8")):
        engines = (*(e for e in TEX_ENGINES if e != "pdflatex"), "pdflatex")  # a Unicode engine first
    failures: list[str] = []
    for engine in (e for e in engines if shutil.which(e)):
        failure = _failure(engine, source)
        for suffix in (".aux", ".log", ".out"):
            source.with_suffix(suffix).unlink(missing_ok=True)
        if failure is None:
            return source.with_suffix(".pdf")
        failures.append(f"{engine} failed on {source.name}:\n{failure}")
    if failures:
        raise RuntimeError("\n".join(failures))
    return None


def not_compiled(files: Iterable[Path]) -> str:
    """Return what to install if a document among written files has no PDF, else nothing.

    >>> not_compiled([Path("out/report.tex"), Path("out/report.pdf")])
    ''
    """
    files = set(files)
    sources = sorted(f.name for f in files if f.suffix == ".tex" and f.with_suffix(".pdf") not in files)
    if not sources:
        return ""
    return (
        f"no TeX engine was found, so {', '.join(sources)} is not compiled; everything else is there. Install one of "
        f"{', '.join(TEX_ENGINES)} (Debian: texlive-latex-base texlive-latex-recommended; macOS: MacTeX; Windows: MiKTeX; or "
        "conda install tectonic) and run the command again"
    )


def _failure(engine: str, source: Path) -> str | None:
    """Run an engine; return the end of what it printed if it fails."""
    options = [] if engine == "tectonic" else ["-interaction=nonstopmode", "-halt-on-error"]
    for _ in range(1 if engine == "tectonic" else 2):  # twice for the references
        run = subprocess.run(
            [engine, *options, source.name], cwd=source.parent, capture_output=True, text=True, errors="replace",
            timeout=_TEX_SECONDS, check=False,
        )  # fmt: skip
        if run.returncode:
            return run.stdout[-2000:]
    return None


def study_data(study: Study) -> dict[str, Any]:
    """Return the study as plain data for JSON; infinities become strings."""
    return {
        "title": study.settings.title,
        "sweep": study.sweep,
        "seed": study.settings.seed,
        "trials": study.settings.trials,
        "series": [
            {
                "name": s.name,
                "regime": None if s.formula is None else s.formula.regime,
                "method": s.method,
                "references": [] if s.formula is None else list(s.formula.references),
                "latex": None if s.formula is None else s.formula.latex(),
                "optimum": None if s.optimum is None else {"x": s.optimum[0], "error": s.optimum[1]},
                "diagnosis": None if s.diagnosis is None else _diagnosis(s.diagnosis),
                "points": [
                    {
                        "x": None if math.isnan(p.x) else p.x,
                        "theory": plain(p.theory),
                        "terms": {k: plain(v) for k, v in p.terms.items()},
                        "checks": {
                            kind: {
                                "mean": plain(c.simulation.mean),
                                "sem": plain(c.simulation.sem),
                                "z": plain(c.z),
                                "relative_gap": plain(c.relative_gap),
                                "allowance": plain(c.allowance),
                                "correction": plain(c.correction),
                                "detectable": plain(c.detectable),
                                "passed": c.passed,
                            }
                            for kind, c in p.checks.items()
                        },
                    }
                    for p in s.points
                ],
            }
            for s in study.series
        ],
    }


def _diagnosis(found: Diagnosis) -> dict[str, Any]:
    kinds = {"gaussian": found.gaussian, "elliptic": found.elliptic, "resampled": found.resampled}
    return {
        "verdict": found.verdict,
        "reason": found.reason,
        "T": found.T,
        "lam": found.lam,
        "scores": {k: plain(v) for k, v in found.scores.items()},
        "clean_fit": {
            kind: {"kappa": fit.kappa, "inflation": plain(fit.inflation), "noise": plain(fit.noise)}
            for kind, fit in kinds.items()
        },
        "directions": found.table(),
    }


def plain(value: float) -> float | str:
    """Return a float that JSON can hold: infinities as text."""
    return float(value) if math.isfinite(value) else str(float(value))


def _write_csv(study: Study, path: Path) -> None:
    terms = list(dict.fromkeys(k for s in study.series for p in s.points for k in p.terms))
    kinds = study.settings.inputs
    with io.StringIO(newline="") as f:
        out = csv.writer(f)
        head = ["series", study.sweep or "x", "theory", *terms]
        out.writerow(head + [f"{kind}_{column}" for kind in kinds for column in ("mean", "sem", "z", "relative_gap")])
        for s in study.series:
            for p in s.points:
                row: list[Any] = [
                    s.name,
                    "" if math.isnan(p.x) else p.x,
                    p.theory,
                    *(p.terms.get(k, "") for k in terms),
                ]
                for kind in kinds:
                    c = p.checks.get(kind)
                    row += [""] * 4 if c is None else [c.simulation.mean, c.simulation.sem, c.z, c.relative_gap]
                out.writerow(row)
        write_file(path, f.getvalue(), "report")
