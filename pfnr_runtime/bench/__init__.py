"""Measuring a decoder where it runs: time, memory and energy, beside a plain H.264 decode of the same frames."""
