"""Measuring a decoder where it runs: time, memory and energy, compared with plain H.264 of the same frames."""
