"""Entropy coding of quantised weights: integers to few bytes and back, the same on every machine.

Needs numpy and the standard library only. `encode_tensors` (`pfnr_runtime.coding.encode`) and
`decode_tensors` (`pfnr_runtime.coding.decode`) are what the library and the packed video call.
"""
