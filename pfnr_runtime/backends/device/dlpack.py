"""DLPack capsules over our memory, so that any array library can use it without a copy.

The layouts are those of dlpack.h (https://dmlc.github.io/dlpack/latest/c_api.html), before version 1 and from it
on. A consumer renames the capsule and later calls its deleter, from any thread. A capsule has no destructor, since
one written in Python cannot run while an exception propagates: the `Export` holds the capsule instead, and
`withdraw` invalidates one that nobody took.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

CPU, CUDA = 1, 2  # DLDeviceType
KINDS = {"b": 6, "i": 0, "u": 1, "f": 2}  # DLDataTypeCode, by NumPy's letter
VERSION = (1, 0)
# Their memory must outlive every capsule of that name.
PLAIN, VERSIONED, WITHDRAWN = b"dltensor", b"dltensor_versioned", b"withdrawn"


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("number", ctypes.c_int32))


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter))


class _ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", _Deleter),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


def _python_call(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_new = _python_call("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_has_name = _python_call("PyCapsule_IsValid", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
_set_name = _python_call("PyCapsule_SetName", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)


class Export:
    """One capsule, from creation to deleter.

    - address: of the first sample.
    - shape, dtype: of the array, contiguous in C order.
    - device: (`CPU` or `CUDA`, device number).
    - versioned: whether in the layout of DLPack 1.
    - deleted: called once, without arguments and from any thread, when the consumer is done with the memory; must
      not raise.
    """

    def __init__(
        self,
        address: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        device: tuple[int, int],
        *,
        versioned: bool,
        deleted: Callable[[], None],
    ) -> None:
        self._deleted = deleted
        self._name = VERSIONED if versioned else PLAIN
        self._sizes = (ctypes.c_int64 * len(shape))(*shape)
        steps = (prod(shape[axis + 1 :]) for axis in range(len(shape)))
        self._strides = (ctypes.c_int64 * len(shape))(*steps)
        tensor = _Tensor(
            address,
            _Device(*device),
            len(shape),
            _DataType(KINDS[dtype.kind], 8 * dtype.itemsize, 1),
            self._sizes,
            self._strides,
            0,
        )
        managed = (
            _ManagedVersioned(*VERSION, None, _delete, 0, tensor) if versioned else _Managed(tensor, None, _delete)
        )
        self._managed, self._key = managed, ctypes.addressof(managed)
        _alive[self._key] = self
        self.capsule = _new(self._key, self._name, None)

    @property
    def taken(self) -> bool:
        """Whether a consumer has taken the capsule and will call the deleter."""
        return not _has_name(self.capsule, self._name) and not _has_name(self.capsule, WITHDRAWN)

    def withdraw(self) -> bool:
        """Invalidate and forget a capsule that nobody has taken; False if it was taken."""
        if self.taken:
            return False
        _set_name(self.capsule, WITHDRAWN)
        _alive.pop(self._key, None)
        return True


# Exports by the address of their structure, which the deleter receives.
_alive: dict[int, Export] = {}


@_Deleter
def _delete(address: int) -> None:
    export = _alive.pop(address, None)
    if export is not None:
        with contextlib.suppress(Exception):  # nobody could handle it
            export._deleted()
