"""Checkpoints of the reference implementation of PFNR (arXiv 2306.11305), read into pfnr libraries."""
