"""Entropy coding of quantised weights: integers to few bytes and back, the same on every machine.

Needs numpy and the standard library only. `encode_tensors` and `decode_tensors` (`pfnr_runtime.coding.tensors`)
are what the library and the packed video call.
"""
