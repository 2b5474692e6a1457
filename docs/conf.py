"""Sphinx: the pages are Markdown, read by MyST."""

from __future__ import annotations

project = "Bough"
author = "The Bough authors"
copyright = "the Bough authors, Apache License 2.0"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
html_theme = "alabaster"
html_theme_options = {"description": "Deep-learning compiler", "page_width": "1080px", "fixed_sidebar": True}
html_sidebars = {"**": ["about.html", "navigation.html", "searchfield.html"]}
