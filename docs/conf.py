"""The documentation as a site. `make docs` builds it; every warning is an error.

The broker serves the site itself, under a policy that allows no inline script and no
inline style. Furo has one script and one style sheet inline, the same on every page:
they become files.
"""

import hashlib
import re
import tomllib
from functools import partial
from pathlib import Path

from sphinx.application import Sphinx

_HERE = Path(__file__).parent
_PROJECT = tomllib.loads((_HERE.parent / "pyproject.toml").read_text("utf-8"))

project = "Federation broker"
version = release = _PROJECT["project"]["version"]

extensions = ["myst_parser"]
nitpicky = True
myst_heading_anchors = 4
# What looks right on GitHub, and nothing more.
smartquotes = False

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_use_index = False

_INLINE = {
    re.compile("<style>(.*?)</style>", re.DOTALL): (
        "css",
        '<link rel="stylesheet" href="{}">',
    ),
    re.compile("<script>(.*?)</script>", re.DOTALL): (
        "js",
        '<script src="{}"></script>',
    ),
}
_REPLACED = {
    ' style="display: none;"': ' display="none"',
    ' style="opacity: 50%"': ' opacity="50%"',
    # What a screen reader and a keyboard need beyond what Sphinx and Furo write.
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Pages">',
    '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
    '<th class="head"><p></p></th>': "<td></td>",
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    "<pre>": '<pre tabindex="0">',
    '<div id="search-results">': '<h1>Search</h1><div id="search-results">',
}


def move_inline_code(app: Sphinx, failure: Exception | None) -> None:
    """Give inline scripts and styles files of their own."""
    if failure is not None or app.builder.name != "html":
        return
    for page in sorted(app.outdir.rglob("*.html")):
        root = "../" * (len(page.relative_to(app.outdir).parts) - 1)
        text = page.read_text("utf-8")
        for pattern, (suffix, element) in _INLINE.items():
            text = pattern.sub(partial(_move, app.outdir, suffix, element, root), text)
        for found, instead in _REPLACED.items():
            text = text.replace(found, instead)
        page.write_text(text, "utf-8")


def _move(
    site: Path, suffix: str, element: str, root: str, found: re.Match[str]
) -> str:
    code = found[1].encode()
    name = f"_static/page-{hashlib.sha256(code).hexdigest()[:16]}.{suffix}"
    (site / name).write_bytes(code)
    return element.format(root + name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register what happens at the end of a build."""
    app.connect("build-finished", move_inline_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
