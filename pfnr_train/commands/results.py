"""Printing results as text and tables on stdout."""

from __future__ import annotations

import sys

from rich.console import Console


def results_console() -> Console:
    """A console on stdout that prints names verbatim, and does not wrap lines in files or pipes."""
    # Names may contain square brackets and colons, which rich would read as markup and emoji.
    width = None if sys.stdout.isatty() else 1000
    return Console(width=width, markup=False, emoji=False, highlight=False, soft_wrap=True)
