"""The page's HTML: a template, styles and scripts, in one file that reaches for nothing."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import vl_convert

_FOLDER = Path(__file__).parent
_SCRIPTS = (
    "decode",
    "format",
    "state",
    "dom",
    "board",
    "charts",
    "front",
    "answer",
    "table",
    "compare",
    "budget",
    "deploy",
    "curves",
    "curve_charts",
    "findings",
    "examples",
    "provenance",
    "main",
)

LIBRARIES = (
    ("DataTables", "3.1.5", "MIT", "the table"),
    ("Vega", vl_convert.get_vega_version(), "BSD-3-Clause", "the charts"),
    ("Vega-Lite", vl_convert.get_vegalite_versions()[-1], "BSD-3-Clause", "the charts"),
    ("Vega-Embed", vl_convert.get_vega_embed_version(), "BSD-3-Clause", "the charts"),
)
"""What the page carries beside our own code: name, version, licence, what for."""


@cache
def charting() -> str:
    """Give Vega, Vega-Lite and Vega-Embed as one script."""
    return vl_convert.javascript_bundle()


def page_html(payload: str, facts: dict[str, Any]) -> str:
    """Put the page together.

    Parameters
    ----------
    payload
        The board, as `sidekick.leaderboard.page.payload.pack` gives it.
    facts
        What the template says without scripts: `benchmark` and `summary`. They are escaped.

    Returns
    -------
    str
        HTML whose policy lets its own scripts run and nothing be fetched.
    """
    scripts = [_safe(script) for script in (charting(), _vendored(), _own())]
    style = _read("static/page.css")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "static"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        **facts,
        payload=payload,
        scripts=scripts,
        hashes=" ".join(f"'sha256-{_hash(script)}'" for script in scripts),
        style=style,
        style_hash=f"sha256-{_hash(style)}",
    )


def _vendored() -> str:
    return _read("vendor/dataTables.min.js")


def _own() -> str:
    parts = [_read(f"static/{name}.js") for name in _SCRIPTS]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _safe(script: str) -> str:
    """Keep a script from ending its own element: only texts of libraries could."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
