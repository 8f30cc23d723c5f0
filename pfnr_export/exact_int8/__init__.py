"""Exact decoders whose convolutions work in 8 bits: their layers, and the rewrite that puts them in."""
