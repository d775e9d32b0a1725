"""A small teacher labels for a large student: where the student is the better of the two, and how fast both improve.

Usage: python examples/weak_to_strong.py [OUT]   (writes OUT.png; OUT is weak_to_strong by default)
"""

import math
import sys

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import TwoSlopeNorm

import collapse_theory as ct

SETTING = {"spectrum": ct.PowerLaw(1000, beta=1.5), "target": ct.SourceTarget(r=1)}
REAL = {"T0": 600, "lam0": 1e-4, "sigma0": 0.1}
STUDENT = {"T": 4000, "sigma": 0.0}


def gain(teachers: np.ndarray, students: np.ndarray, ridge: float) -> np.ndarray:
    """Return the student's error over its teacher's, teachers along the rows."""
    alone = ct.catalog["random-features-ridge"].error.evaluate(
        **SETTING, T=REAL["T0"], lam=REAL["lam0"], sigma=REAL["sigma0"], m=teachers
    )
    student = ct.catalog["weak-to-strong"].error
    return student.evaluate(**SETTING, **REAL, **STUDENT, lam=ridge, m0=teachers[:, None], m=students) / alone[:, None]


def curves(teachers: np.ndarray, students: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors of teachers without noise and with many rows, and of students of size ``m0**students``, at best ridges."""
    endless = {"spectrum": ct.PowerLaw(math.inf, beta=2), "target": ct.SourceTarget(r=1)}
    alone, best = [], []
    for m0 in teachers:
        rows = float(m0) ** 3
        alone.append(ct.catalog["random-features-ridge"].error.evaluate(**endless, T=rows, lam=0, sigma=0, m=m0))
        ridges = ct.effective_ridge(endless["spectrum"], T=m0, lam=0) ** np.linspace(0.5, 1.0, 41)
        sizes = {"m0": m0, "m": round(m0**students), "T0": rows, "T": rows, "lam0": 0, "sigma": 0, "sigma0": 0}
        best.append(ct.catalog["weak-to-strong"].error.evaluate(**endless, **sizes, lam=ridges).min())
    return np.array(alone), np.array(best)


def main(out: str = "weak_to_strong") -> None:
    """Draw the phase diagram and the laws."""
    teachers, students = np.geomspace(5, 2000, 100).round(), np.geomspace(5, 5000, 100).round()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    ratio = gain(teachers, students, ridge=3e-3)
    shade = left.pcolormesh(
        students, teachers, np.log10(ratio), cmap="RdBu_r", norm=TwoSlopeNorm(0, -1, 1), shading="nearest"
    )
    left.contour(students, teachers, ratio, levels=[1], colors="k")
    left.plot(teachers, teachers, "k:", lw=1)
    left.set(xscale="log", yscale="log", xlabel="features of the student, $m$", ylabel="features of the teacher, $m_0$")
    left.set_title("student better (blue) or worse (red) than its teacher", fontsize=10)
    figure.colorbar(shade, ax=left, label=r"$\log_{10}$ of the ratio of their errors", extend="both")
    sizes = np.array([100, 1000, 10_000, 100_000])
    alone, _ = curves(sizes, 1)
    right.loglog(sizes, alone, "k-o", ms=4, label="teacher")
    for power in (1, 1.2, 2):
        right.loglog(sizes, curves(sizes, power)[1], "-o", ms=4, label=f"student, $m=m_0^{{{power}}}$")
    right.set(xlabel="features of the teacher, $m_0$", ylabel="test error")
    right.set_title(r"real rows $m_0^3$, student's rows $m_0^3$, $\beta=2$, $r=1$, no noise", fontsize=10)
    right.legend(frameon=False)
    figure.savefig(f"{out}.png", dpi=150)


if __name__ == "__main__":
    main(*sys.argv[1:])
