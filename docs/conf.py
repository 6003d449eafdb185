"""Sphinx configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import kombu

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "kombu"
author = kombu.__author__
copyright = author
version = ".".join(kombu.__version__.split(".")[:2])
release = kombu.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "transport_options"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Messaging for Python", "page_width": "1000px"}

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = True
napoleon_custom_sections = []
