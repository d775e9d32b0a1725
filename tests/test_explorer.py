"""The explorer without a browser: states and links, curves, code to copy, live points, and the server's addresses."""

import asyncio
import contextlib
import io
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import replace
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collapse_theory as ct
from collapse_theory.explore.curves import curve, optimum
from collapse_theory.explore.export import static_page
from collapse_theory.explore.launch import opening_state, serve
from collapse_theory.explore.live import live_points
from collapse_theory.explore.presets import PRESETS, WORKFLOWS, Preset
from collapse_theory.explore.server import application
from collapse_theory.explore.snippets import python_code, toml_code
from collapse_theory.explore.state import State
from collapse_theory.explore.subject import first_state, subject
from collapse_theory.explore.uploads import diagnosis, matrix
from tests.helpers import EXPLORER, ROOT, call

SMALL = State("ridge-clean", spectrum="powerlaw:d=20,beta=1.2", values={"T": 40, "sigma": 0.5, "lam": 0.1})
GRAPH = """
[[sample]]
name = "real"
T = 60
noise = 0.3

[[fit]]
name = "teacher"
data = ["real"]
ridge = 0.2

[[sample]]
name = "fake"
T = "T"
source = "0.3*truth + 0.7*teacher"

[[fit]]
name = "student"
data = ["real", "fake"]
weights = [1.5, 0.5]
ridge = "lam"
"""


FIXED = (
    'workflow = "accumulate"\ngenerations = 2\ndesign = "fixed"\nstage.T = 40\nstage.noise = 0.5\nstage.ridge = "lam/2"'
)


# ---------------------------------------------------------------- states and links
@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), st.floats(-1e9, 1e9) | st.integers(-9, 9)
    ),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
)
def test_a_link_restores_the_state(values, pipeline):
    values = {name: v for name, v in values.items() if name not in {"pipeline", "over", "spectrum", "target"}}
    state = State(pipeline, values=values)
    assert State.of(state.query()) == state


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "needs a pipeline"),
        ("pipeline=ridge-clean&T=600&T=700", "once, got it twice"),
        ("pipeline=ridge-clean&T=__import__('os')", "needs numbers"),
        ("pipeline=ridge-clean&T=nan", "finite"),
        ("pipeline=ridge-clean&spectrum=file:/etc/passwd", "written out"),
        ("pipeline=ridge-clean&target=coefficients:w.npy", "written out"),
        ("pipeline=ridge-clean&spectrum=powerlaw:d=10000000,beta=1.5", "at most 3000"),
        ("pipeline=ridge-clean&spectrum=data:digits", "take both"),
        ("pipeline=" + "x" * 30_000, "at most"),
    ],
)
def test_a_link_that_says_something_else_is_refused(query, words):
    with pytest.raises(ct.CollapseTheoryError, match=re.escape(words)):
        State.of(query)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State("ridge-clean", values={"T": 1e9}), "from 10 to 100000"),
        (State("ridge-clean", values={"T": 600.5}), "an integer"),
        (State("ridge-clean", values={"T0": 600}), "needs one of T, sigma, lam"),
        (State("ridge-clean", over="T0"), "needs one of T, sigma, lam"),
        (State("ridge-cleen"), "did you mean 'ridge-clean'"),
        (State('workflow = "acumulate"'), "did you mean 'accumulate'"),
        (State('workflow = "accumulate"\ngenerations = 41\nstage.T = 9'), "generations needs at most 40"),
        (State('spectrum = "file:/etc/passwd"\nworkflow = "accumulate"\ngenerations = 1\nstage.T = 9'), "written out"),
    ],
)
def test_a_state_that_cannot_be_shown_is_refused(state, words):
    with pytest.raises(ct.CollapseTheoryError, match=re.escape(words)):
        curve(state)


# ---------------------------------------------------------------- curves
def test_a_curve_is_the_theory_along_its_slider():
    found = curve(SMALL, points=7)
    spectrum, target = ct.PowerLaw(20, 1.2), ct.SourceTarget(0.5)
    theory = ct.catalog["ridge-clean"].error.evaluate(
        spectrum=spectrum, target=target, T=40, sigma=0.5, lam=np.array(found["x"]), terms=True
    )
    assert found["terms"] == {name: pytest.approx(values) for name, values in theory.items()}
    assert found["total"] == pytest.approx(sum(theory.values()))
    there = ct.catalog["ridge-clean"].error.evaluate(spectrum=spectrum, target=target, T=40, sigma=0.5, lam=0.1)
    assert found["here"]["total"] == pytest.approx(there)


def test_points_outside_the_conditions_are_gaps_with_a_reason():
    found = curve(State("ols-replace", "T", "isotropic:d=300", "random:norm2=1", {"T": 600, "T0": 900}), points=12)
    assert [total is None for total in found["total"]] == [x < 302 for x in found["x"]]
    assert found["here"] is not None
    assert "ols-replace needs T >= d + 2, got T=10" in found["refused"]


def test_the_number_of_a_description_is_a_slider():
    state = State(
        GRAPH,
        spectrum=SMALL.spectrum,
        values={"T": 80, "T_real": 70, "sigma_real": 0.4, "lam_teacher": 0.3, "lam": 0.05},
    )
    pipe = ct.Pipeline()
    real = pipe.sample(T=70, noise=0.4)
    teacher = pipe.fit(real, ridge=0.3)
    fake = pipe.sample(T=80, source=0.3 * ct.TRUTH + 0.7 * teacher)
    pipe.fit([real, fake], weights=[1.5, 0.5], ridge=0.05)
    theory = ct.test_error(pipe).evaluate(spectrum=ct.PowerLaw(20, 1.2), target=ct.SourceTarget(0.5))
    assert curve(state, points=3)["here"]["total"] == pytest.approx(theory)


def test_a_curve_over_rounds_builds_each_pipeline():
    text = 'workflow = "replace"\ngenerations = 1\ngenerator.T = 40\ndownstream.T = 30\ndownstream.ridge = 0.1'
    found = curve(State(text, over="generations", spectrum=SMALL.spectrum), points=4)
    theory = [
        ct.test_error(ct.workflows.replace(n, ct.Stage(T=40), ct.Stage(T=30, ridge=0.1))).evaluate(
            spectrum=ct.PowerLaw(20, 1.2), target=ct.SourceTarget(0.5)
        )
        for n in found["x"]
    ]
    assert found["total"] == pytest.approx(theory)


def test_the_star_is_where_no_point_of_the_curve_is_lower():
    best = optimum(SMALL)
    found = curve(SMALL, points=60)
    assert best["total"] <= min(found["total"])
    near = curve(replace(SMALL, values={**SMALL.values, "lam": best["x"]}), points=2)["here"]["total"]
    assert near == pytest.approx(best["total"])
    assert optimum(State("ols-accumulate", "n", "isotropic:d=20", "random:norm2=1")) is None


# ---------------------------------------------------------------- what is copied
@pytest.mark.parametrize(
    "state", [SMALL, State(GRAPH), *map(first_state, list(WORKFLOWS.values())[:2]), first_state(FIXED)]
)
def test_copied_code_gives_the_number_on_the_page(state, tmp_path, monkeypatch):
    state = replace(state, spectrum=SMALL.spectrum)
    here = curve(state, points=2)["here"]["total"]
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(python_code(state), {})
    assert float(printed.getvalue()) == pytest.approx(here, rel=1e-9)
    (tmp_path / "state.toml").write_text(toml_code(state))
    pipe, settings = ct.load("state.toml")
    values = {**settings.values, state.over: subject(state.pipeline).values(state)[state.over]}
    again = ct.test_error(pipe).evaluate(spectrum=settings.spectrum, target=settings.target, **values)
    assert again == pytest.approx(here, rel=1e-9)
    assert list(settings.sweep) == [state.over]


# ---------------------------------------------------------------- live points and uploads
def test_live_points_are_simulations_that_grow_more_certain():
    points = list(live_points(SMALL, rounds=10))
    at = [p for p in points if p["x"] == points[3]["x"]]
    assert [p["trials"] for p in at] == list(range(2, 21, 2))
    theory = ct.catalog["ridge-clean"].error.evaluate(
        spectrum=ct.PowerLaw(20, 1.2), target=ct.SourceTarget(0.5), T=40, sigma=0.5, lam=at[-1]["x"]
    )
    assert abs(at[-1]["mean"] - theory) < 4 * at[-1]["sem"] + 0.05 * theory
    assert abs(at[-1]["mean"] - 2 * theory) > 4 * at[-1]["sem"] + 0.05 * theory  # a wrong theory is seen
    assert list(live_points(SMALL, rounds=1)) == points[:9]


def test_what_takes_too_long_for_a_page_is_refused_once():
    vast = State("ridge-clean", "sigma", "isotropic:d=3000", "random:norm2=1", {"T": 100_000})
    told = list(live_points(vast, rounds=3))
    assert len(told) == 9
    assert all("multiplications" in p["refused"] for p in told)
    limit = list(live_points(State("ols-accumulate-limit", "sigma", "isotropic:d=20", "random:norm2=1"), rounds=1))
    assert all("limit" in p["refused"] for p in limit)


def test_a_matrix_is_read_and_judged():
    rows = np.random.default_rng(0).standard_normal((500, 4))
    written = io.BytesIO()
    np.save(written, rows)
    text = "\n".join(";".join(map(repr, row)) for row in rows.tolist()).encode()
    for name, content in (("X.npy", written.getvalue()), ("X.csv", text)):
        assert np.array_equal(matrix(name, content), rows)
    told = diagnosis(SMALL, "X.csv", text)
    mine = ct.diagnose(rows, T=40, lam=0.1)
    assert (told["verdict"], told["reason"], told["N"]) == (mine.verdict, mine.reason, 500)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("X.csv", b"1,2\n3", "rows of one length"),
        ("X.csv", b"1,a", "'a'"),
        ("X.pkl", b"", ".npy, .csv or .txt"),
        ("X.npy", b"", "numbers"),
    ],
)
def test_a_file_that_is_no_matrix_is_refused(name, content, words):
    with pytest.raises(ct.ParseError, match=re.escape(words)) as e:
        matrix(name, content)
    assert "/" not in str(e.value)


# ---------------------------------------------------------------- the page and its server
def test_the_whole_page_asks_nobody():
    preset = Preset("Tiny", "One curve.", SMALL, (("T", (30, 40)),))
    text = static_page((preset,))
    assert len(text.encode()) < 1_200_000
    assert not re.findall(r'<(?:link|script)[^>]*(?:src|href)="(?!data:)', text)
    assert not re.findall(r"url\((?!data:|#)", text)
    frozen = json.loads(re.search(r'id="frozen">(.*?)</script>', text)[1])["presets"][0]
    here = curve(replace(SMALL, values={**SMALL.values, "T": 30}), points=37)
    assert frozen["cells"]["0"]["terms"]["bias"] == pytest.approx(here["terms"]["bias"], rel=1e-4)


def ask(path, host="127.0.0.1:5006", body=b"", **query):
    """Return status, headers and body of one request, without a network; a stream is left after its first parts."""
    pytest.importorskip("starlette", reason="needs the extra explore")
    parts, started = [], {}
    scope = {
        "type": "http", "method": "POST" if body else "GET", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": urlencode(query).encode(), "headers": [(b"host", host.encode())], "http_version": "1.1",
        "scheme": "http", "server": ("127.0.0.1", 5006), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    sent = iter([{"type": "http.request", "body": body}])

    async def receive():
        if len(parts) < 4 and path == "/simulation":
            await asyncio.sleep(0.01)
        return next(sent, {"type": "http.disconnect"})

    async def send(message):
        if message["type"] == "http.response.start":
            started.update(message)
        else:
            parts.append(message["body"])

    asyncio.run(application(SMALL)(scope, receive, send))
    headers = {k.decode(): v.decode() for k, v in started["headers"]}
    return started["status"], headers, b"".join(parts).decode()


def test_the_server_answers_states_and_this_machine_only():
    status, headers, page = ask("/")
    assert status == 200
    assert "collapse" in page
    assert "script-src" not in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'self';")  # no script but the page's, and no eval
    assert ask("/", host="elsewhere.example")[0] == 400
    told = json.loads(ask("/curve", state=SMALL.query(), points="5")[2])
    assert told == json.loads(json.dumps(curve(SMALL, points=5)))
    assert json.loads(ask("/optimum", state=SMALL.query())[2]) == optimum(SMALL)
    assert "needs a pipeline" in json.loads(ask("/curve", state="")[2])["error"]
    assert json.loads(ask("/drawing", state=SMALL.query())[2]).startswith("<?xml")
    assert json.loads(ask("/code", state=SMALL.query())[2])["python"] == python_code(SMALL)
    assert json.loads(ask("/about", state=SMALL.query())[2])["latex"] == ct.catalog["ridge-clean"].error.latex()
    assert json.loads(ask("/diagnosis", state=SMALL.query(), name="X.csv", body=b"1,2\n3,4\n5,7\n")[2])["N"] == 3
    assert ask("/page/%2e%2e/server.py")[0] == 404


def test_a_taken_port_and_a_missing_extra_are_one_line(monkeypatch):
    pytest.importorskip("uvicorn", reason="needs the extra explore")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = call("explore", "--port", port, "--no-browser", code=2)
    assert done.stderr.count("\n") == 1
    assert f"got {port} (Address already in use); choose another with --port" in done.stderr
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ct.DomainError, match=re.escape("pip install 'collapse-theory[explore]'")):
        serve(SMALL, 0, browser=False, say=print)


@pytest.mark.heavy
def test_an_interrupt_ends_the_server_quietly():
    pytest.importorskip("uvicorn", reason="needs the extra explore")
    with subprocess.Popen(EXPLORER, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        address = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())[0]
        with urllib.request.urlopen(address, timeout=60) as page:
            assert "collapse" in page.read().decode()
        server.send_signal(signal.SIGINT)
        told = server.communicate(timeout=60)
    assert told == ("", "")
    assert server.returncode == 0


def test_an_argument_is_a_theorem_or_a_file():
    assert opening_state(None) == PRESETS[0].state
    assert opening_state("minnorm-label-mix").over == "w"
    chain = opening_state(str(ROOT / "examples" / "chain.toml"))
    assert (chain.over, chain.spectrum) == ("lam", "powerlaw:d=300,beta=1.5")
    with pytest.raises(ct.DomainError, match="did you mean"):
        opening_state("ridge-replac")


def test_presets_and_workflows_are_shown_without_a_complaint():
    for state in [*(p.state for p in PRESETS), first_state(WORKFLOWS["The last k samples"])]:
        found = curve(state, points=3)
        assert found["here"] is not None, state
        assert found["refused"] is None, state
