"""TensorRT and TensorRT-RTX: building engines on the device, caching them, decoding with them.

Only `api.load_library` and `device.open_device` import an engine library or CUDA, and say in one line what is
missing.
"""
