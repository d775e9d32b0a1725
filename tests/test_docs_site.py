"""The documentation site: every theorem has its page and is found, every internal link leads to a page, no page is lost."""

import re
from pathlib import Path

import pytest

import collapse_theory as ct
from docs.generate.derivation_pages import derivation_index, theorems_of
from docs.generate.literate import SCRIPTS, script
from docs.generate.reference_pages import api_rooms, command_page, files_page
from docs.generate.theorem_pages import derived, relations, scripts_of, sources, theorem_index

DOCS = Path(ct.__file__).parents[1] / "docs"
WRITTEN = {p.name: p.read_text() for p in DOCS.glob("*.md")}
PAGES = (
    {DOCS / name for name in WRITTEN}
    | {DOCS / "theorems" / "index.md", *(DOCS / "theorems" / f"{slug}.ipynb" for slug in ct.catalog)}
    | {DOCS / "derivations" / "index.md", *(DOCS / "derivations" / f"{name}.md" for name in SCRIPTS)}
    | {DOCS / "reference" / f"{name}.md" for name in ("api", "estimator", "command_line", "files", *api_rooms())}
)
GENERATED = {
    **{f"theorems/{slug}": "\n".join([relations(slug), derived(th), sources(th)]) for slug, th in ct.catalog.items()},
    "theorems/index": theorem_index(ct.catalog.values()),
    "derivations/index": derivation_index(map(script, SCRIPTS)),
    **{
        f"derivations/{name}": "".join(f"[](../theorems/{slug}.ipynb)" for slug in theorems_of(script(name)))
        for name in SCRIPTS
    },
}


def links(text):
    """Yield the internal links of a page in Markdown, those in code left out."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for target in re.findall(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(text):
    return {
        re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
        for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


def lost(pages):
    """Return the links that lead nowhere, by page."""
    found = []
    for name, text in pages.items():
        place = (DOCS / name).parent
        for target in links(text):
            file, _, anchor = target.partition("#")
            path = (place / file).resolve() if file else (DOCS / name).resolve()
            there = path in PAGES or path.suffix == ".svg" or path.is_file()
            if not there or (anchor and path.name in WRITTEN and anchor not in anchors(WRITTEN[path.name])):
                found.append((name, target))
    return found


def test_every_internal_link_leads_to_a_page():
    assert not lost(WRITTEN | GENERATED)


def test_a_lost_link_is_found():
    assert lost({"a.md": "[x](theorems/no-such.ipynb), [y](engine.md), `[z](nowhere.md)`"}) == [
        ("a.md", "theorems/no-such.ipynb")
    ]
    assert lost({"a.md": "[x](which_theorem.md#ridge) [y](which_theorem.md#no)"}) == [("a.md", "which_theorem.md#no")]


@pytest.mark.parametrize("page", ["which_theorem.md", "theorems/index"])
def test_every_theorem_is_found(page):
    """A theorem that is new needs a line in docs/which_theorem.md."""
    text = WRITTEN.get(page) or GENERATED[page]
    assert not [slug for slug in ct.catalog if f"{slug}.ipynb)" not in text]


def test_every_page_is_in_the_menu():
    listed = set(re.findall(r"^([\w/]+)$", WRITTEN["index.md"], re.MULTILINE))
    assert not {name.removesuffix(".md") for name in WRITTEN} - listed - {"index"}


def test_the_reference_has_every_name_command_and_workflow():
    assert {name for names in api_rooms().values() for name in names} == set(ct.__all__) - {"symbols", "__version__"}
    assert {"predict", "report", "optimal-ridge"} <= set(re.findall(r"^## ([\w-]+)$", command_page(), re.MULTILINE))
    assert all(f"`{name}(" in files_page() for name in ct.workflows.__all__)


def test_the_derivation_of_a_limit_is_that_of_its_theorem():
    assert scripts_of("ridge-clean") == ("ridge_clean",)
    assert scripts_of("ols-mix-precision-limit") == ("ols_mix_precision",)
    assert scripts_of("minnorm-same-design") == ("minnorm_isotropic",)
