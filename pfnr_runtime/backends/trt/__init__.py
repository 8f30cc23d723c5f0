"""TensorRT and TensorRT-RTX: building engines on the device, keeping them, decoding with them.

Nothing here imports an engine library or CUDA before it is asked to: `api.load_library` and
`device.open_device` do, and say in one line what is missing.
"""
