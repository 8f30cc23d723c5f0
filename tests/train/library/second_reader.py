"""A second reader of libraries, written from docs/format.md with safetensors and NumPy alone.

It shares no code with pfnr, so that the page must be enough, and must stay true.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from math import isqrt, prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

Tensors = dict[str, Any]


class SecondReader:
    """The library at `path`."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        header = metadata(data)
        self.config, self.version = header["config"], header["format_version"]
        if self.version == 3:
            self._read_appended(data)
        else:
            self._tensors, self.sessions = load(data), header["sessions"]
            self._values = header.get("values", [{"kind": "shared"}] * len(self.sessions))
        self._shapes, self._head = shapes(self.config)

    def _read_appended(self, data: bytes) -> None:
        base, end, entries = 8 + int.from_bytes(data[:8], "little"), len(data), []
        while end > base:
            magic, number, start, size, _, digest = struct.unpack("<8s4Q32s", data[end - 120 : end - 48])
            if magic != b"pfnr end" or hashlib.sha256(data[start : start + size]).digest() != digest:
                raise ValueError("what should be a session is none")
            entries.insert(0, (number, data[start : start + size]))
            end = start
        assert [number for number, _ in entries] == list(range(len(entries)))
        headers = [metadata(entry) for _, entry in entries]
        self.sessions, self._values = [h["record"] for h in headers], [h["values"] for h in headers]
        self._tensors = {f"sessions/{k}/{name}": t for k, entry in entries for name, t in load(entry).items()}

    def materialise(self, k: int) -> tuple[Tensors, Tensors, Any]:
        """Weights, head and time table of session k; a ValueError if they do not have the recorded digest."""
        weights, head = getattr(self, "_" + self._values[k]["kind"])(k)
        table = self._own(k).get("time_table", self._table(k))
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for prefix, tensors in (("", weights), ("head.", head)):
            for name in sorted(tensors):
                digest.update(f"{prefix}{name}\0".encode() + tensors[name].tobytes())
        digest.update(table.tobytes())
        if digest.hexdigest() != self.sessions[k]["weights_sha256"]:
            raise ValueError(f"session {k} does not have its digest")
        return weights, head, table

    def _own(self, k: int) -> Tensors:
        start = f"sessions/{k}/"
        return {n.removeprefix(start): t for n, t in self._tensors.items() if n.startswith(start)}

    def _shared(self, k: int) -> tuple[Tensors, Tensors]:
        own = self._own(k)
        kept = {n: np.unpackbits(own[f"masks/{n}"], count=prod(s)).reshape(s) for n, s in self._shapes.items()}
        pool = {n: self._tensors[f"weights/{n}"] for n in self._shapes}
        return {n: np.where(kept[n], pool[n], np.float32(0)) for n in pool}, self._heads(own)

    def _places(self, k: int) -> tuple[Tensors, Tensors]:
        own, weights = self._own(k), {}
        for name, shape in self._shapes.items():
            weights[name] = np.zeros(shape, np.float32)
            kept = np.unpackbits(own[f"places/{name}"], count=prod(shape)) == 1
            weights[name].reshape(-1)[kept] = own[f"values/{name}"]
        return weights, self._heads(own)

    def _coded(self, k: int) -> tuple[Tensors, Tensors]:
        named = self._shapes | {f"head.{name}": shape for name, shape in self._head.items()}
        found = Stream(self._own(k)["coded"].tobytes()).tensors(named)
        head = {name: found.pop(f"head.{name}") for name in self._head}
        value = self._values[k]
        if "parent" in value:
            parent = getattr(self, "_" + self._values[value["parent"]]["kind"])(value["parent"])[0]
            found |= {name: parent[name] + found[name] for name in value["inherits"]}
        return found, head

    def _heads(self, own: Tensors) -> Tensors:
        return {name: own[f"head/{name}"] for name in self._head}

    def _table(self, k: int) -> Any:
        record, config = self.sessions[k], self.config
        n, coarse = record["video"]["frames"], self._values[k]["kind"] == "coded"
        frames = np.arange(n)[:, None]
        if "canvas" in config:
            i = np.arange(config["canvas"]["terms"])
            rows = np.where(i < n, np.cos(np.pi * ((2 * frames + 1) * i % (4 * n)) / (2 * n)), 0)
        else:
            steps = config["embed_base"] ** np.arange(config["embed_levels"], dtype=np.float64) * np.pi
            angles = np.concatenate([frames / n * steps, np.full((n, 1), record["scalar"]) * steps], axis=1)
            rows = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(n, -1)
        return (np.rint(rows * 2048) / 2048 if coarse else rows).astype(np.float32)


def metadata(data: bytes) -> Any:
    """The JSON in the metadata of a safetensors file."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["pfnr"])


def shapes(config: dict[str, Any]) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Shapes of the network's tensors and of the head's, by name."""
    (rows, columns), canvas, fourier = config["grid"], config.get("canvas"), config["fourier"]
    stem, bias = rows * columns * config["channels"], config["bias"]
    found: dict[str, tuple[int, ...]] = {}
    if canvas:
        found["latents.weight"] = (canvas["terms"], config["channels"], rows, columns)
        found["panned.path"] = (2, canvas["terms"])
    else:
        found["stem.0.weight"] = (config["stem_width"], 4 * config["embed_levels"])
        found["stem.1.weight"] = (stem, config["stem_width"])
        if bias:
            found |= {"stem.0.bias": (config["stem_width"],), "stem.1.bias": (stem,)}
    out = config["channels"]
    for i, stride in enumerate(config["strides"]):
        inside, kernel = out, 3
        if i:
            out = max(out // (1 if stride == 1 else config["reduction"]), config["lower_width"])
        if canvas:
            out, kernel = canvas["widths"][i], canvas["kernels"][i]
            if i == canvas["still_block"]:
                found["still.canvas"] = (canvas["still"], rows, columns)
                inside += canvas["still"]
            if i == canvas["panned_block"]:
                margin = canvas["margin"]
                found["panned.canvas"] = (canvas["panned"], rows + margin[0], columns + margin[1])
                inside += canvas["panned"]
        conv, mixed = out, 0
        if fourier and fourier["block"] == i:
            some = fourier["concat_channels"]
            conv, mixed = {"replace": (0, out), "add": (out, out), "concat": (out - some, some)}[
                fourier["combine"]
            ]
        if conv:
            found[f"block.{i}.conv.weight"] = (conv * stride**2, inside, kernel, kernel)
            if bias:
                found[f"block.{i}.conv.bias"] = (conv * stride**2,)
        if mixed:
            found[f"block.{i}.fourier.weight"] = (2 * (rows // 2) * (columns // 2), inside, 2 * mixed)
        rows, columns = rows * stride, columns * stride
    colours = 3 * canvas.get("enlarge", 1) ** 2 if canvas else 3
    return found, {"weight": (colours, out)} | ({"bias": (colours,)} if bias else {})


class Stream:
    """A coded stream, decoded symbol by symbol."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def tensors(self, named: dict[str, tuple[int, ...]]) -> Tensors:
        """The tensors of these names and shapes, float32."""
        headers = {name: self._header(named[name]) for name in sorted(named)}
        coded = [header for header in headers.values() if header["kind"] == 2]
        self.escapes = Stream(self.take(self.number()))
        packed = self.take(self.number())
        raw = Stream(zlib.decompress(packed) if packed else b"")
        low = sum(header["shift"] * prod(header["kept"]) for header in coded)
        self.low = np.unpackbits(np.frombuffer(self.take((low + 7) // 8), np.uint8)).tolist()
        symbols = sum(prod(header["kept"]) for header in coded)
        lanes = 4
        while 2 * lanes * 4096 <= symbols and lanes < 4096:
            lanes *= 2
        if coded:
            self.states = np.frombuffer(self.take(4 * lanes), "<u4").tolist()
            self.words = iter(np.frombuffer(self.data[self.at :], "<u2").tolist())
        found = {}
        for name, header in headers.items():
            shape = named[name]
            if header["kind"] == 0:
                found[name] = np.frombuffer(raw.take(4 * prod(shape)), "<f4").reshape(shape)
            else:
                whole = self._values(header, shape) if header["kind"] == 2 else np.zeros(shape)
                found[name] = (whole * 2.0 ** header["exponent"]).astype(np.float32)
        if coded and (set(self.states) != {1 << 16} or next(self.words, None) is not None):
            raise ValueError("the symbols do not end where they should")
        return found

    def _header(self, shape: tuple[int, ...]) -> dict[str, Any]:
        header: dict[str, Any] = {"kind": self.take(1)[0]}
        if header["kind"]:
            number = self.number()
            header["exponent"] = -(number + 1) // 2 if number % 2 else number // 2
        if header["kind"] < 2:
            return header
        joined, flags = joined_axes(shape), self.take(1)[0]
        masks = [np.ones(n, bool) for n in joined]
        for axis, n in enumerate(joined):
            if flags >> axis & 1:
                bits = np.frombuffer(self.take((n + 7) // 8), np.uint8)
                masks[axis] = np.unpackbits(bits, count=n) == 1
        kept = tuple(int(mask.sum()) for mask in masks) if flags else shape
        shift, base = self.take(2)
        split, counts = self.number(), self.take(1)[0]
        sets = [[(byte >> 4, byte % 16 - 4) for byte in self.take(n)] for n in divmod(counts, 16)]
        first, *rest = joined_axes(kept)
        view = (first // split, split, *rest) if split > 1 else (first, *rest)
        more = {"masks": masks, "kept": kept, "shift": shift, "base": base, "view": view}
        return header | more | {"powers": sets[0], "shares": sets[1]}

    def _values(self, header: dict[str, Any], shape: tuple[int, ...]) -> Any:
        places = np.indices(header["view"]).reshape(len(header["view"]), -1)
        size, part = places.shape[1], places.sum(axis=0) % 64
        values, base = np.zeros(size, np.int64), header["base"]
        mean = max(1, (65536, 77935, 92681, 110217)[base % 4] << base // 4 >> 15)
        counts = [[{}, {}] for _ in header["powers"] + header["shares"]]  # sums, numbers of places
        keys = [
            [tuple(p[axis] for axis in range(len(p)) if axes >> axis & 1) for p in places.T.tolist()]
            for axes, _ in header["powers"] + header["shares"]
        ]
        powers, ends = len(header["powers"]), [e for e in (1, 2, 3, *range(4, 65, 2)) if e * size >= 4096] or [64]
        for start, end in zip([0, *ends], ends, strict=False):
            plane = np.flatnonzero((part >= start) & (part < end))
            plane, learnt = plane[np.argsort(part[plane], kind="stable")].tolist(), []
            for i, place in enumerate(plane):
                change = value = 0
                for j, (_, eighths) in enumerate(header["powers"] + header["shares"]):
                    total, seen = (c.get(keys[j][place], d) for c, d in zip(counts[j], (0, 2), strict=True))
                    if j < powers:
                        change += eighths * (log(4096 * total + 2 * mean) - log(seen) - log(mean))
                    else:
                        value += eighths * (4096 * total // seen)
                scale = min(max((4 * base + (change + 4) // 8 + 2) // 4, 0), 63)
                difference = self._difference(scale, i % len(self.states))
                values[place] = (value + 16384) // 32768 + difference
                learnt.append((place, min(abs(difference), 32767), min(max(int(values[place]), -32767), 32767)))
            for place, magnitude, signed in learnt:
                for j, (total, seen) in enumerate(counts):
                    key = keys[j][place]
                    total[key] = total.get(key, 0) + (magnitude if j < powers else signed)
                    seen[key] = seen.get(key, 2) + 1
        if shift := header["shift"]:
            bits, self.low = self.low[: shift * size], self.low[shift * size :]
            low = [int("".join(map(str, bits[i : i + shift])), 2) for i in range(0, shift * size, shift)]
            values = (values << shift) + low - (1 << shift >> 1)
        whole = np.zeros(joined_axes(shape), np.int64)
        whole[np.ix_(*header["masks"])] = values.reshape(joined_axes(header["kept"]))
        return whole.reshape(shape)

    def _difference(self, scale: int, lane: int) -> int:
        frequencies, x, symbol = frequencies_of(scale), self.states[lane], 0
        rest = x % 16384
        while rest >= frequencies[symbol]:
            rest -= frequencies[symbol]
            symbol += 1
        x = frequencies[symbol] * (x >> 14) + rest
        self.states[lane] = x << 16 | next(self.words) if x < 1 << 16 else x
        if symbol < 255:
            return (symbol + 1) // 2 if symbol % 2 else -symbol // 2
        number, largest = self.escapes.number(), sum(f > 0 for f in frequencies[1:255]) // 2
        return (number // 2 + 1 + largest) * (-1 if number % 2 else 1)


def joined_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of a shape, those from the third on as one."""
    return tuple(shape) if len(shape) < 3 else (*shape[:2], prod(shape[2:]))


def log(x: int) -> int:
    """log₂ in sixteenths, rounded down."""
    n = x.bit_length()
    mantissa = x << 11 - n if n <= 11 else x >> n - 11
    return 16 * (n - 1) + max(t for t in range(16) if mantissa**16 >= 1024**16 << t)


def frequencies_of(scale: int) -> list[int]:
    """Frequencies of the 256 symbols of a class."""
    if scale not in _FREQUENCIES:
        U, found = 1 << 60, [0] * 256
        mu = (4294967296, 5107605667, 6074001000, 7223245205)[scale % 4] << 17 + scale // 4
        s = (isqrt(U * U + 4 * mu * mu) - U) * U // (2 * mu)
        q, r = s * s // U, s
        p = s * (U - q) // (2 * U)
        for k in range(1, 128):
            if (f := (p * 16384 + U // 2) // U) == 0:
                break
            found[2 * k - 1] = found[2 * k] = f
            p, r = p * q // U, r * q // U
        found[255] = max(1, (r * 16384 + U // 2) // U)
        found[0] = 16384 - sum(found)
        _FREQUENCIES[scale] = found
    return _FREQUENCIES[scale]


_FREQUENCIES: dict[int, list[int]] = {}
