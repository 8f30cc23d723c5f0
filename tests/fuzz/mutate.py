"""Changes to bytes, texts and JSON, drawn from a source of chance."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable
from typing import Any

Chance = random.Random
Mutation = Callable[[bytes, Chance], bytes]

NUMBERS = [0, 1, -1, 2, 7, 8, 63, 64, 127, 128, 255, 256, 65535, 65536, 1 << 24, (1 << 31) - 1, 1 << 31, 1 << 32,
           1 << 40,
           (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63), 10**30, 10**400]  # fmt: skip
VALUES: list[Any] = [*NUMBERS, 0.5, -0.0, 1e308, 5e-324, True, False, None, "", "0", "\x1b[31m", "a\nb", "\ud800",
                     "é" * 300,
                     "../../etc/passwd", "0/0", "1/0", "-1/3", [], {}, [0], [[]], {"a": 1}]  # fmt: skip
BYTES = [
    b"",
    b"\0",
    b"\xff" * 8,
    b"\x80" * 10 + b"\x01",
    b"\xff" * 9 + b"\x01",
    bytes(64),
    b"%s%n",
    b"\r\n\r\n",
    "∞".encode(),
]
MOST = 1 << 20  # bytes of a mutated input


def mutate_bytes(data: bytes, chance: Chance) -> bytes:
    """One to four edits anywhere."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(8):
            case 0 | 1 if changed:
                changed[place % len(changed)] ^= 1 << chance.randrange(8)
            case 2 if changed:
                changed[place % len(changed)] = chance.randrange(256)
            case 3:
                del changed[place : place + chance.choice((1, 2, 8, 64, 1 << 20))]
            case 4:
                changed[place:place] = chance.choice(BYTES)
            case 5:
                changed[place:place] = changed[place : place + chance.choice((1, 4, 32, 256))]
            case 6:
                kind = chance.choice(("<H", "<I", "<Q", ">I"))
                size = struct.calcsize(kind)
                changed[place : place + size] = struct.pack(kind, chance.choice(NUMBERS) % (1 << 8 * size))
            case _:
                start = chance.randrange(len(changed) + 1)
                piece = changed[start : start + chance.randrange(1, 33)]
                changed[place : place + len(piece)] = piece
    return bytes(changed[:MOST])


def mutate_text(data: bytes, chance: Chance) -> bytes:
    """A word, number or line of a text is changed, dropped or repeated."""
    if chance.random() < 0.3:
        return mutate_bytes(data, chance)
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        case 2:
            words = lines[at].split(b" ")
            words[chance.randrange(len(words))] = _word(chance)
            lines[at] = b" ".join(words)
        case 3:
            left, sign, _ = lines[at].partition(b"=")
            lines[at] = left + sign + b" " + _word(chance) if sign else left + b" = " + _word(chance)
        case _:
            place = chance.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + _word(chance) + lines[at][place:]
    return b"\n".join(lines)[:MOST]


def _word(chance: Chance) -> bytes:
    value = chance.choice(VALUES)
    text = value if isinstance(value, str) and chance.random() < 0.5 else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def mutate_json(value: Any, chance: Chance) -> Any:
    """A copy of a JSON value with one or two of its parts changed, dropped, repeated or renamed."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 2))):
        holder = {"": value}
        parent, key = chance.choice(list(_places(holder, "")))
        _change(parent, key, chance)
        value = holder.get("")
    return value


def _places(parent: Any, key: Any) -> Any:
    yield parent, key
    value = parent[key]
    if isinstance(value, dict):
        for name in value:
            yield from _places(value, name)
    elif isinstance(value, list):
        for i in range(min(len(value), 50)):
            yield from _places(value, i)


def _change(parent: Any, key: Any, chance: Chance) -> None:
    value = parent[key]
    match chance.randrange(6):
        case 0 if type(value) in (int, float):
            parent[key] = value + chance.choice((1, -1, 0.5)) if abs(value) < 1e300 else 0
        case 1 if isinstance(value, str) and value:
            place = chance.randrange(len(value))
            parent[key] = value[:place] + chance.choice("0f9-/* \u2028") + value[place + 1 :]
        case 2 if isinstance(parent, dict) and key != "":
            del parent[key]
        case 3 if isinstance(parent, dict) and key != "":
            parent[str(key) + chance.choice(("x", ".", "\x1b"))] = parent.pop(key)
        case 4 if isinstance(parent, list):
            parent.insert(key, copy.deepcopy(value))
        case _:
            parent[key] = copy.deepcopy(chance.choice(VALUES))


def to_json(value: Any) -> bytes:
    """As a text whose numbers and characters are whatever they are."""
    return json.dumps(value).encode("utf-8", "surrogatepass")
