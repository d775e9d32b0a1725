"""``python -m tests.mutants --seed 1 --sites 60``: draw mistakes, run the tests on each, print the survivors."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".mutants"


def main() -> int:
    """Run the command line; 1 if more than one mistake in twenty survives."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--sites", type=int, default=60)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument(
        "--budget", type=float, default=240.0, help="seconds of tests on one mistake before it counts as alive"
    )
    options.add_argument("--only", default="", help="sites in files whose path contains this")
    options.add_argument("--count", action="store_true", help="only count the sites by operator")
    options.add_argument(
        "--stale", action="store_true", help="use the map of lines to tests as it is, though files have changed"
    )
    asked = options.parse_args()
    from tests.mutants.sites import OPERATORS, draw, sites_of_package

    sites = [s for s in sites_of_package(ROOT) if asked.only in s.file]
    print(
        f"{len(sites)} sites: " + ", ".join(f"{k} {sum(s.operator == k for s in sites)}" for k in OPERATORS), flush=True
    )
    if asked.count:
        return 0
    chosen = draw(sites, ROOT, asked.sites, asked.seed)

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from tests.mutants import covering, running

    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        copies = [running.copy_of_tree(ROOT, Path(place) / f"copy{i}") for i in range(asked.workers)]
        known = covering.record(copies[0], FOLDER, asked.workers, stale=asked.stale)
        running.warm_up()
        begun = time.monotonic()
        outcomes = [running.Outcome(s, left=running.order(s, known)) for s in chosen]
        finished = []
        for o in running.run_all(outcomes, known, copies, asked.budget):
            finished.append(o)
            fate = f"killed by {o.killer}" if o.killer else f"SURVIVED {o.run} tests, {len(o.left)} not run"
            print(
                f"{len(finished):3} {o.seconds:6.1f} s  {o.site.operator:10} {o.site.file}:{o.site.line}  {fate}",
                flush=True,
            )
        alive = [o for o in finished if o.killer is None]
        for o in alive:
            print(f"\n{o.site.operator} ({OPERATORS[o.site.operator]}); {o.run} tests passed, {len(o.left)} not run")
            print(difference(o.site))
        print(f"seed {asked.seed}: {len(alive)} of {len(finished)} survived, {time.monotonic() - begun:.0f} s")
        log = [{"site": vars(o.site), "killer": o.killer, "seconds": o.seconds, "run": o.run} for o in finished]
        (FOLDER / f"seed-{asked.seed}.json").write_text(json.dumps(log, indent=1))
    return int(20 * len(alive) > len(finished))


def difference(site) -> str:
    """Return the mistake as a unified diff."""
    source = (ROOT / site.file).read_bytes()
    before, after = (text.decode().splitlines(keepends=True) for text in (source, site.plant(source)))
    return "".join(difflib.unified_diff(before, after, site.file, site.file, n=1))


if __name__ == "__main__":
    sys.exit(main())
