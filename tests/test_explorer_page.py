"""The explorer in a real browser: what moves, loads, copies, and how fast a slider answers."""

import re
import shutil
import subprocess
import tomllib

import numpy as np
import pytest

import collapse_theory as ct
from collapse_theory.explore.export import static_page
from collapse_theory.explore.presets import PRESETS
from tests.helpers import EXPLORER

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright's client: pip install playwright")
pytest.importorskip("uvicorn", reason="needs the extra explore")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.heavy, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)")]


@pytest.fixture(scope="module")
def address():
    with subprocess.Popen(EXPLORER, stdout=subprocess.PIPE, text=True) as server:
        yield re.search(r"http://\S+", server.stdout.readline())[0]
        server.terminate()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """Return a function that opens an address; what the console then says of errors fails the test."""
    said = []
    context = browser.new_context(
        permissions=["clipboard-read", "clipboard-write"], viewport={"width": 1280, "height": 900}
    )

    def open_page(where):
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(where)
        page.wait_for_selector("#chart path.best", state="attached")
        return page

    yield open_page
    context.close()
    assert not said


def line(page):
    return page.get_attribute("#chart path.total", "d")


def value(page):
    return float(page.text_content("#terms tr:first-child td:nth-child(2)"))


def slide(page, name, steps):
    """Move a slider by its keys and return milliseconds from the last key to the drawn curve."""
    page.focus(f"#knob-{name}")
    for _ in range(abs(steps)):
        before = line(page)
        page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")
        page.wait_for_function("d => document.querySelector('#chart path.total').getAttribute('d') !== d", arg=before)
    return float(page.get_attribute("body", "data-answered"))


def settled(page):
    page.wait_for_selector("#chart path.best", state="attached")


def test_sliders_move_the_curve_to_what_the_theory_says(opened, address):
    page = opened(address)
    before = line(page), value(page)
    took = [slide(page, name, steps) for name, steps in [("n", 2), ("sigma0", 3), ("T", -4)]]
    assert (line(page), value(page)) != before
    settled(page)
    at = dict(item.split("=") for item in page.evaluate("() => location.hash.slice(1)").split("&")[4:])
    values = {name: float(x) for name, x in at.items()}
    theory = ct.catalog["ridge-replace"].error.evaluate(
        spectrum=ct.PowerLaw(300, 1.5), target=ct.SourceTarget(0.5), **values | {"n": int(values["n"])}
    )
    assert values["n"] == 6
    assert value(page) == pytest.approx(theory, rel=1e-3)
    assert min(took) < 100, took  # milliseconds from a key to the drawn curve, at d = 300


def test_presets_load_with_their_sentences(opened, address):
    page = opened(address)
    for preset in PRESETS[1:]:
        before = line(page)
        page.click(f"text='{preset.name}'")
        page.wait_for_function("d => document.querySelector('#chart path.total').getAttribute('d') !== d", arg=before)
        assert page.text_content("#sentence") == preset.sentence
        assert page.text_content("#problem") == ""
        page.wait_for_function("() => document.querySelector('#drawing').naturalWidth > 100")
    page.click("text='Golden ratio'")
    page.wait_for_function("() => document.querySelector('#best').textContent.includes('at w = 0.618')")


def test_buttons_copy(opened, address):
    page = opened(address)

    def copied(what):
        page.click(f"button[data-copy={what}]")
        page.wait_for_function(f"() => document.querySelector('button[data-copy={what}]').textContent === 'Copied'")
        return page.evaluate("() => navigator.clipboard.readText()")

    assert copied("latex") == ct.catalog["ridge-replace"].error.latex()
    assert 'ct.catalog["ridge-replace"].error' in copied("python")
    assert tomllib.loads(copied("toml"))["spectrum"] == "powerlaw:d=300,beta=1.5"
    before = page.evaluate("() => location.hash")
    slide(page, "sigma", 5)
    page.wait_for_function("before => location.hash !== before", arg=before)
    page.wait_for_timeout(400)
    link, shown = copied("link"), value(page)
    again = opened(link)
    assert value(again) == shown


def test_monte_carlo_points_arrive_with_their_bars(opened, address):
    page = opened(f"{address}#pipeline=ridge-clean&spectrum=powerlaw:d=40,beta=1.2&target=source:r=0.5&T=80&lam=0.05")
    page.check("#simulate")
    page.wait_for_function("() => document.querySelectorAll('#chart circle.run').length === 9", timeout=60000)
    slide(page, "sigma", 1)
    page.wait_for_function("() => document.querySelectorAll('#chart circle.run').length === 9", timeout=60000)


def test_a_description_is_drawn_and_a_wrong_one_is_explained(opened, address):
    page = opened(address)
    page.click("summary")
    page.fill("#text", 'workflow = "accumulate"\ngenerations = 2\nstage.T = 400\nstage.noise = 0.3\nstage.ridge = 0.1')
    page.click("#take")
    page.wait_for_selector("#knob-lam_stage")
    settled(page)
    picture = page.get_attribute("#drawing", "src")
    slide(page, "generations", 1)
    page.wait_for_function("src => document.querySelector('#drawing').src !== src", arg=picture)
    page.fill("#text", 'workflow = "acumulate"')
    page.click("#take")
    page.wait_for_function("() => document.querySelector('#problem').textContent.includes('did you mean')")


def test_a_matrix_gets_its_verdict(opened, address, tmp_path):
    page = opened(address)
    rng = np.random.default_rng(0)
    for name, rows, verdict in [
        ("normal.npy", rng.standard_normal((2000, 20)), "trust"),
        ("rare.npy", np.eye(2000, 20), "distrust"),
    ]:
        np.save(tmp_path / name, rows)
        page.set_input_files("#file", tmp_path / name)
        page.wait_for_selector(f"#verdict[data-verdict={verdict}]")


def test_no_width_scrolls_sideways(opened, address):
    page = opened(address)
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_the_page_without_a_server(opened, tmp_path):
    file = tmp_path / "explorer.html"
    file.write_text(static_page(PRESETS[:1]), encoding="utf-8")
    page = opened(file.as_uri())
    before = line(page)
    slide(page, "n", 1)
    assert line(page) != before
    settled(page)
    n = int(page.text_content("#knobs .knob:first-child output"))
    values = PRESETS[0].state.values | {"n": n}
    theory = ct.catalog["ridge-replace"].error.evaluate(
        spectrum=ct.PowerLaw(300, 1.5), target=ct.SourceTarget(0.5), **values
    )
    assert value(page) == pytest.approx(theory, rel=1e-3)
