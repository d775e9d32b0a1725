"""How far one evaluation travels: files of the package that it enters, and calls from one file into another.

A number that has to cross many files many times is hard to follow; this counts, so that a refactoring can be judged.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np

import collapse_theory as ct

ROOT = str(Path(ct.__file__).parent)
MEASURE = {"spectrum": ct.Eigenvalues(np.arange(1, 31) ** -1.2), "target": ct.Energies(np.ones(30) / 30)}
VALUES = {"n": 3, "T": 60, "T0": 90, "lam": 0.1, "sigma": 0.3, "sigma0": 0.2}
SLUGS = ("ridge-replace", "ridge-keep-real", "ridge-accumulate")


def crossings(task):
    """Return the calls between two files of the package while a task runs, by the pair of files."""
    found = Counter()

    def watch(frame, event, _):
        caller = frame.f_back
        if event != "call" or caller is None:
            return
        a, b = caller.f_code.co_filename, frame.f_code.co_filename
        if a != b and a.startswith(ROOT) and b.startswith(ROOT):
            found[a, b] += 1

    sys.setprofile(watch)
    try:
        task()
    finally:
        sys.setprofile(None)
    return found


def main():
    for slug in SLUGS:
        err = ct.catalog[slug].error
        names = {x.name for x in err.free_symbols}
        values = {k: v for k, v in VALUES.items() if k in names}
        predict = err.compile(**MEASURE)
        value = predict(**values)  # derived and compiled here, once
        found = crossings(lambda predict=predict, values=values: predict(**values))
        files = {f for pair in found for f in pair}
        print(f"{slug:20} {value:.15g}: {len(files):3} files, {sum(found.values()):5} crossings")


if __name__ == "__main__":
    main()
