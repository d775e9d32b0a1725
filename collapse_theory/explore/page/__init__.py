"""The page itself: HTML, style and two scripts beside KaTeX, put together for the server or into one file.

``katex/`` is the distribution of KaTeX 0.19.1 (MIT licence): script, style and woff2 fonts, as published.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "live_page", "whole_page"]

FOLDER = Path(__file__).parent
_SCRIPTS = ("katex/katex.min.js", "chart.js", "explorer.js")
_STYLES = ("katex/katex.min.css", "style.css")


def live_page(start: Any) -> str:
    """Return the page that asks a server, with what it knows before."""
    styles = "".join(f'<link rel="stylesheet" href="page/{name}">\n' for name in _STYLES)
    scripts = "".join(f'<script src="page/{name}" defer></script>\n' for name in _SCRIPTS)
    return _page(styles, f"{_data('start', start)}{scripts}")


def whole_page(frozen: Any) -> str:
    """Return the page in one file that asks nobody: everything is in it, fonts included."""
    styles = "".join(f"<style>{_with_fonts(_text(name))}</style>\n" for name in _STYLES)
    scripts = "".join(f"<script>{_text(name)}</script>\n" for name in _SCRIPTS)
    return _page(styles, f"{_data('frozen', frozen)}{scripts}")


def _page(styles: str, scripts: str) -> str:
    return _text("page.html").replace("<!-- styles -->", styles).replace("<!-- scripts -->", scripts)


def _data(name: str, value: Any) -> str:
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")  # no tag ends the script
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _with_fonts(style: str) -> str:
    """Return a style sheet with its woff2 fonts in it, and without the addresses of other formats."""

    def inside(found: re.Match[str]) -> str:
        font = base64.b64encode((FOLDER / "katex" / found[1]).read_bytes()).decode()
        return f"url(data:font/woff2;base64,{font})"

    only = re.sub(r",url\([^)]*\) format\(\"(?:woff|truetype)\"\)", "", style)
    return re.sub(r"url\(([^)]*\.woff2)\)", inside, only)
