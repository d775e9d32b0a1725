"""``collapse-theory``: list, show, derive, predict, rates, optimal-ridge, validate, check, sweep, report, explore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from collapse_theory.cli.output import FAILED_CHECK, guarded, hint, print_json, print_table, progress_bar, say
from collapse_theory.cli.problem import Problem, claimed_problem, pairs, problem, rate_problem

__all__ = ["app", "run"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Theory of recursive training on synthetic data: formulas, numbers and checks from one description.",
    epilog="Example: collapse-theory predict ols-replace --spectrum isotropic:d=50 --set T=80 --set T0=90 --set n=3 "
    "--set sigma=0.5 --set sigma0=0.4",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
What = Annotated[
    str, typer.Argument(metavar="SLUG-or-FILE", help="A theorem of the catalogue or a .toml pipeline file.")
]
File = Annotated[Path, typer.Argument(metavar="FILE.toml", help="A pipeline file.")]
Slug = Annotated[str, typer.Argument(metavar="SLUG", help="A theorem of the catalogue; see collapse-theory list.")]
Spectrum = Annotated[
    str | None,
    typer.Option(help="isotropic:d=300, powerlaw:d=300,beta=1.5, spiked:d=100,spikes=20/10/5, file:values.npy"),
]
Target = Annotated[str | None, typer.Option(help="random:norm2=1, source:r=0.5, file:energies.npy")]
Assign = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A number, a list (lam=0.01,0.1,1) or a range (lam=log:1e-4:10:50)."
    ),
]


def _tell_version(asked: bool) -> None:
    if asked:
        from collapse_theory import __version__

        say(f"collapse-theory {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


@app.command("list", epilog="Example: collapse-theory list --graph -o theorems.svg")
def list_theorems(
    *,
    graph: Annotated[bool, typer.Option("--graph", help="List the relations between the theorems.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="With --graph: draw them (.svg, .pdf, .png).")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the theorems of the catalogue, or how they are related."""
    from collapse_theory.theorems.catalog import catalog

    if graph:
        _list_relations(output, as_json)
        return
    if output is not None:
        raise typer.BadParameter("needs --graph: a list is printed, the graph is drawn", param_hint="-o")
    rows = [(slug, th.regime, th.title) for slug, th in catalog.items()]
    if as_json:
        print_json([{"slug": s, "regime": r, "title": t} for s, r, t in rows])
    else:
        print_table(("slug", "regime", "statement"), rows)


def _list_relations(output: Path | None, as_json: bool) -> None:
    from collapse_theory.theorems.graph import edges

    with guarded():
        found = edges()
        if output is not None:
            from collapse_theory.present.theorem_map import write_theorems

            write_theorems(found, output)
        if as_json:
            print_json([edge.data() for edge in found])
        else:
            say("\n".join(edge.words() for edge in found))


@app.command(epilog="Example: collapse-theory show ridge-replace --latex")
def show(
    slug: Slug,
    *,
    latex: Annotated[bool, typer.Option("--latex", help="Print the statement as LaTeX.")] = False,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print the sources as BibTeX.")] = False,
    as_json: Json = False,
) -> None:
    """Show a theorem: statement, terms, conditions, sources."""
    from collapse_theory.theorems.catalog import catalog
    from collapse_theory.theorems.graph import incoming, outgoing

    with guarded():
        theorem = catalog[slug]
        formula = theorem.error
        if as_json:
            print_json(
                {
                    "slug": slug,
                    "title": theorem.title,
                    "hypotheses": theorem.hypotheses,
                    **_formula_data(formula),
                    "statement": theorem.statement(),
                    "bibtex": theorem.bibtex,
                    "relations": [{"to": r.to, "kind": r.kind, "note": r.note} for r in theorem.relations],
                    "neighbours": {
                        "out": [edge.data() for edge in outgoing(slug)],
                        "in": [edge.data() for edge in incoming(slug)],
                    },
                }
            )
        elif latex or bibtex:
            say("\n\n".join([theorem.statement()] * latex + [theorem.bibtex] * bibtex))
        else:
            say(f"{slug}: {theorem.title}\n\n{theorem.hypotheses}.\n")
            _print_formula(formula)
            for edge in (*outgoing(slug), *incoming(slug)):
                say(edge.words())


@app.command(epilog=r"Example: collapse-theory macros > macros.tex, then \input{macros} and err.latex(macros=True)")
def macros(*, as_json: Json = False) -> None:
    """Print the LaTeX commands that formulas use with macros=True."""
    from collapse_theory.present.macros import MACROS, macro_file

    if as_json:
        print_json(MACROS)
    else:
        say(macro_file())


@app.command(epilog="Example: collapse-theory derive examples/mixed.toml --latex")
def derive(
    file: File,
    *,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX only.")] = False,
    as_json: Json = False,
) -> None:
    """Derive the test error of the last fit of a pipeline file."""
    with guarded():
        formula = problem(_toml(file), None, None, []).formula
        if as_json:
            print_json(_formula_data(formula))
        elif latex:
            say(formula.latex())
        else:
            _print_formula(formula)


@app.command(
    epilog="Example: collapse-theory predict ridge-replace --spectrum powerlaw:d=300,beta=1.5 --target source:r=0.5 "
    "--set T=600 --set T0=900 --set n=5 --set sigma=0.5 --set sigma0=0.5 --set lam=0.01 --json"
)
def predict(
    what: What,
    *,
    spectrum: Spectrum = None,
    target: Target = None,
    assign: Assign = None,
    certified: Annotated[
        bool, typer.Option("--certified", help="Print intervals that contain the exact values; one value per symbol.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Evaluate a theorem or the test error of a pipeline file."""
    with guarded():
        p = problem(what, spectrum, target, assign or [])
        if certified:
            _print_intervals(p, as_json)
            return
        terms = p.formula.evaluate(spectrum=p.spectrum, target=p.target, terms=True, **p.values)
        total = sum(terms.values())
        if as_json:
            print_json({"value": total, "terms": terms, "regime": p.formula.regime, "method": p.formula.method,
                        "values": p.values})  # fmt: skip
            return
        swept = {k: v for k, v in p.values.items() if np.ndim(v)}
        columns = np.broadcast_arrays(*swept.values(), total, *terms.values())
        print_table(
            (*swept, "test error", *terms),
            [tuple(float(x) for x in row) for row in zip(*(c.ravel() for c in columns), strict=True)],
            title=f"{p.formula.name} ({p.formula.regime})",
        )


def _print_intervals(p: Problem, as_json: bool) -> None:
    """Print the enclosures of a value and its terms, ends rounded outward to as many digits as tell them apart."""
    arguments = {"spectrum": p.spectrum, "target": p.target, "certified": True, **p.values}
    found = {"value": p.formula.evaluate(**arguments)} | p.formula.evaluate(terms=True, **arguments)
    ends = {name: box.printed() for name, box in found.items()}
    if as_json:
        value, *terms = ((name, {"lower": low, "upper": high}) for name, (low, high) in ends.items())
        print_json({"value": value[1], "terms": dict(terms), "regime": p.formula.regime, "method": p.formula.method,
                    "values": p.values})  # fmt: skip
        return
    rows = [("test error" if name == "value" else name, *both) for name, both in ends.items()]
    print_table(("", "lower end", "upper end"), rows, title=f"{p.formula.name} ({p.formula.regime})")


@app.command(
    epilog="Example: collapse-theory rates ridge-replace --set beta=2 --set r=0.5 --set ell=1/2 --check --set T=1e6,1e12 "
    "--set sigma=0.5 --set sigma0=0.5 --set n=2"
)
def rates(
    what: What,
    *,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="beta, r and the exponents a (d = T**a), b (T0 = T**b), ell (lam = T**-ell), gamma_sigma, gamma_0 (noise "
            "variances T**-gamma): fractions, oo, or symbols (b=b). For --check and curves also the values of what does not "
            "change with T (sigma=0.5), and T=1e6,1e12.",
        ),
    ] = None,
    scale: Annotated[
        list[str] | None, typer.Option("--scale", metavar="NAME=EXPONENT", help="Any other symbol is T**EXPONENT.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare slopes of the test error far out; exit code 1 unless they converge.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE",
            help="Draw (.svg, .pdf, .png): the phases in ell and b with --set b=b, else the error over T.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Derive the rate of a test error on power laws: E ~ T**-c with lam = T**-ell."""
    from collapse_theory.present.rate_table import check_data, rate_data, rate_tables

    with guarded():
        found, values = rate_problem(what, assign or [], scale or [], curve=check or output is not None)
        rows = values.pop("T", None)
        observed = found.check(rows, **values) if check else None
        if output is not None:
            from collapse_theory.present.rate_figures import write_rates

            write_rates(found, output, **values)
        if as_json:
            print_json(rate_data(found) | ({} if observed is None else {"check": check_data(observed)}))
        else:
            for table in rate_tables(found):
                say(table.title)
                print_table(table.head, table.rows)
            if observed is not None:
                say(str(observed))
    if observed is not None and not observed.converges:
        raise typer.Exit(FAILED_CHECK)


@app.command(
    "optimal-ridge",
    epilog="Example: collapse-theory optimal-ridge ridge-replace --spectrum powerlaw:d=300,beta=1.5 --target source:r=0.5 "
    "--set T=600 --set T0=900 --set n=5 --set sigma=0.5 --set sigma0=0.5",
)
def find_optimal_ridge(
    what: What,
    *,
    spectrum: Spectrum = None,
    target: Target = None,
    assign: Assign = None,
    over: Annotated[str, typer.Option(help="The argument to optimise; several as lam,lam0.")] = "lam",
    as_json: Json = False,
) -> None:
    """Find the ridge, or another argument, at which the test error is least."""
    from collapse_theory.study.optimum import optimal_ridge

    with guarded():
        p = problem(what, spectrum, target, assign or [])
        names = over.split(",")
        values = {k: v for k, v in p.values.items() if k not in names}
        best = optimal_ridge(
            p.formula, spectrum=p.spectrum, target=p.target, over=names if names[1:] else over, **values
        )
        found = best.value if names[1:] else {over: best.value}
        columns: dict[str, Any] = {**found, "test error": best.error}
        if best.clean_value is not None:
            columns |= {f"clean {over}": best.clean_value, "clean error": best.clean_error, "excess": best.excess}
        if as_json:
            print_json({**columns, "stationary": best.stationary, "regime": p.formula.regime, "values": values})
            return
        swept = {k: v for k, v in values.items() if np.ndim(v)}
        arrays = np.broadcast_arrays(*swept.values(), *columns.values())
        print_table(
            (*swept, *columns),
            [tuple(float(x) for x in row) for row in zip(*(a.ravel() for a in arrays), strict=True)],
            title=f"{p.formula.name} ({p.formula.regime})",
        )


@app.command(
    epilog="Example: collapse-theory validate ols-accumulate --spectrum isotropic:d=10 --set T=15 --set n=3 --set sigma=1"
)
def validate(
    what: What,
    *,
    spectrum: Spectrum = None,
    target: Target = None,
    assign: Assign = None,
    trials: Annotated[int | None, typer.Option(help="Simulated runs; default 200 or the file's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; default 0 or the file's.")] = None,
    jobs: Annotated[int, typer.Option(help="Worker processes; the result does not depend on it.")] = 1,
    as_json: Json = False,
) -> None:
    """Compare theory with simulation; exit code 1 if they disagree beyond chance and finite size."""
    from collapse_theory.check.validate import judge

    with guarded():
        p = problem(what, spectrum, target, assign or [])
        check = judge(
            p.formula,
            spectrum=p.spectrum,
            target=p.target,
            trials=p.trials if trials is None else trials,
            seed=p.seed if seed is None else seed,
            jobs=jobs,
            progress=not as_json,
            **p.values,
        )
        if as_json:
            print_json({
                "passed": check.passed, "theory": check.theory, "mean": check.simulation.mean, "sem": check.simulation.sem,
                "trials": check.simulation.trials, "z": check.z, "relative_gap": check.relative_gap,
                "allowance": check.allowance, "correction": check.correction, "detectable": check.detectable,
            })  # fmt: skip
        else:
            say(str(check))
    if not check.passed:
        raise typer.Exit(FAILED_CHECK)


@app.command(
    epilog="Example: collapse-theory check 'sigma^2*d/(T-d-1)*Sum(1/i^2,(i,1,n))' --claim upper-bounds --theorem ols-accumulate"
)
def check(
    claim: Annotated[
        str, typer.Argument(metavar="CLAIM", help="A formula as text or LaTeX, or a .toml file of published claims.")
    ],
    *,
    kind: Annotated[
        str, typer.Option("--claim", help="equals, upper-bounds, lower-bounds, asymptotic-to or has-rate.")
    ] = "equals",
    what: Annotated[
        str | None, typer.Option("--theorem", metavar="SLUG-or-FILE", help="What the claim is about.")
    ] = None,
    term: Annotated[str | None, typer.Option(help="Compare with one term of the error, such as variance.")] = None,
    along: Annotated[
        str | None, typer.Option(help="The symbol that grows in a limit; by default the dimension and all rows.")
    ] = None,
    notation: Annotated[
        list[str] | None, typer.Option(metavar="NAME=LATEX", help="How LaTeX prints a symbol, such as T=n.")
    ] = None,
    spectrum: Spectrum = None,
    target: Target = None,
    assign: Assign = None,
    draws: Annotated[int, typer.Option(help="Points at which the two are compared.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the points.")] = 0,
    trials: Annotated[int, typer.Option(help="Simulated runs, where no theory covers a pipeline.")] = 400,
    as_json: Json = False,
) -> None:
    """Check what a formula is claimed to be; exit code 1 if the claim as made is not true."""
    from collapse_theory.check.claim_files import check_claims
    from collapse_theory.check.claims import check_claim

    with guarded():
        if claim.endswith(".toml"):
            checked = check_claims(claim, draws=draws, seed=seed)
            if as_json:
                print_json([{**_claim_data(c.found), "source": c.source, "expected": c.expected} for c in checked])
            else:
                print_table(
                    ("verdict", "as stated", "claim", "about", "worst gap", "source"),
                    [
                        (c.found.verdict, "yes" if c.as_stated else f"no, {c.expected}", c.found.kind, c.found.about,
                         c.found.worst_gap, c.source)
                        for c in checked
                    ],
                )  # fmt: skip
            good = all(c.as_stated for c in checked)
        else:
            p = claimed_problem(what, spectrum, target, assign or [], rate=kind == "has-rate")
            found = check_claim(
                claim, p.about, kind, term=term, along=along, notation=pairs(notation or [], "--notation"), draws=draws,
                seed=seed, trials=trials, spectrum=p.spectrum, target=p.target, **p.values,
            )  # fmt: skip
            if as_json:
                print_json(_claim_data(found))
            else:
                say(str(found))
            good = found.holds
    if not good:
        raise typer.Exit(FAILED_CHECK)


def _claim_data(found: Any) -> dict[str, Any]:
    return {
        "verdict": found.verdict, "formula": found.claim, "claim": found.kind, "about": found.about, "regime": found.regime,
        "points": found.points, "side": found.side, "order": found.order, "detectable": found.detectable,
        "worst": {"values": {k: v if isinstance(v, int | float) else str(v) for k, v in found.worst.values.items()},
                  "claimed": found.worst.claimed, "theory": found.worst.true,
                  "exponent_gap" if found.kind == "has-rate" else "relative_gap": found.worst.gap},
    }  # fmt: skip


@app.command(epilog="Example: collapse-theory report examples/digits.toml -o out/digits")
def report(
    file: File,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the report.")],
    as_json: Json = False,
) -> None:
    """Write a report: LaTeX (and PDF with a TeX engine), figures, CSV and JSON, of a pipeline file or a text."""
    from collapse_theory.describe.files import load
    from collapse_theory.present.report import not_compiled, study_data, write_report
    from collapse_theory.present.text_report import largest_z, read_text_settings, text_data, write_text_report

    with guarded():
        about_text = read_text_settings(Path(_toml(file)))
        if about_text is not None:
            with progress_bar() as move:
                points, files = write_text_report(about_text, output, move)
            hint(not_compiled(files))
            if as_json:
                print_json({**text_data(about_text, points), "files": [str(f) for f in files]})
                return
            say(f"largest z-score of the exact points: {largest_z(points):.2f}")
            say(f"report: {', '.join(str(f) for f in files)}")
            return
        _, settings = load(_toml(file))
        with progress_bar() as move:
            study, files = write_report(settings, output, move)
        hint(not_compiled(files))
        if as_json:
            print_json({**study_data(study), "files": [str(f) for f in files]})
            return
        for series in study.series:
            if series.diagnosis is not None:
                say(f"{series.name}: {series.diagnosis.verdict}. {series.diagnosis.reason}")
        for kind, inputs in (("gaussian", "Gaussian inputs"), ("rows", "rows drawn from the models")):
            z = study.largest(kind, lambda c: c.z)
            if z is not None:
                say(f"largest z-score, {inputs}: {z[2].z:+.2f} ({z[0].name})")
        for series in study.series:
            gaps = [c.relative_gap for s, _, c in study.checks("real") if s is series]
            if gaps:
                say(f"largest gap, real inputs, {series.name}: {100 * max(gaps, key=abs):+.1f} %")
        say(f"report: {', '.join(str(f) for f in files)}")


@app.command(
    epilog="Example: collapse-theory sweep examples/u_curves.toml -o curves.nc --trials 100 --checkpoint points"
)
def sweep(
    file: File,
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="NetCDF with named axes (.nc), or a table (.csv).")
    ],
    trials: Annotated[
        int | None, typer.Option(help="Simulate so many runs at every point too, on Gaussian inputs.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; default the file's.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Workers; default the file's. Results do not depend on it.")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep finished trials there; an interrupted sweep goes on from it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the test error over the whole grid of a file's [sweep], every curve of it."""
    from collapse_theory.describe.files import load
    from collapse_theory.study.sweep import Runs, sweep_file, sweep_writer

    with guarded():
        write = sweep_writer(output)
        _, settings = load(_toml(file))
        chosen = settings.seed if seed is None else seed
        workers = settings.jobs if jobs is None else jobs
        runs = None if trials is None else Runs(trials, chosen, workers, not as_json, checkpoint)
        dataset = sweep_file(settings, runs=runs)
        write(dataset)
        sizes = {str(name): int(size) for name, size in dataset.sizes.items()}
        if as_json:
            print_json({"file": str(output), "axes": sizes, "columns": list(dataset.data_vars)})
        else:
            axes = " x ".join(f"{name} ({size})" for name, size in sizes.items())
            say(f"{', '.join(dataset.data_vars)} over {axes}: {output}")


@app.command(epilog="Example: collapse-theory explore ridge-replace --port 5006")
def explore(
    what: Annotated[
        str | None, typer.Argument(metavar="[SLUG-or-FILE]", help="A theorem or a pipeline file to begin with.")
    ] = None,
    *,
    port: Annotated[int, typer.Option(help="Port of this machine; 0 takes a free one.")] = 5006,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write the presets as one page that needs no server, and leave."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Explore a pipeline on a page in the browser, for this machine only."""
    from collapse_theory.core.writing import target_file, write_file
    from collapse_theory.explore.export import static_page
    from collapse_theory.explore.launch import opening_state, serve

    with guarded():
        if export is not None:
            target_file(export, "page")
            text = static_page()
            write_file(export, text, "page")
            size = len(text.encode())
            print_json({"file": str(export), "bytes": size}) if as_json else say(f"{export}: {size / 1e6:.2f} MB")
            return
        serve(
            opening_state(what),
            port,
            browser=browser,
            say=(lambda text: print_json({"said": text})) if as_json else say,
        )


def _toml(file: Path) -> str:
    from collapse_theory.core.errors import ParseError, shown

    if file.suffix != ".toml":
        raise ParseError(f"FILE needs to end in .toml, got {shown(str(file))}; give a pipeline file")
    return str(file)


def _formula_data(formula: Any) -> dict[str, Any]:
    return {
        "regime": formula.regime,
        "method": formula.method,
        "terms": {k: str(v) for k, v in formula.terms.items()},
        "symbols": sorted(x.name for x in formula.free_symbols),
        "conditions": [str(c) for c in formula.conditions],
        "references": list(formula.references),
        "latex": formula.latex(),
    }


def _print_formula(formula: Any) -> None:
    say(formula.latex())
    say(f"\nregime: {formula.regime}; method: {formula.method}")
    say(f"symbols: {', '.join(sorted(x.name for x in formula.free_symbols)) or 'none'}")
    say(f"sources: {', '.join(formula.references) or 'none'}")


def run() -> None:
    """Run the command line."""
    app()
