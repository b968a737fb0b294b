"""Damage and malice, file by file: bytes, and the structure of each format.

Every function takes a `random.Random`, and the content of a good file, and returns
bytes that may be anything. `damaging` gives them one whose draws are Hypothesis'.
"""

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import yaml
from hypothesis import assume
from hypothesis import strategies as st

__all__ = ["Damaged", "damaging"]

_NUMBERS = [0, 1, 2, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63]
_NUMBERS += [2**64 - 1, 0x7FF8000000000000, 0x7FF0000000000000, 0x41DFFFFFFFC00000]
_WORDS = ["0", "-1", "1", "3", "99999999999", "4611686018427387904", "-2147483648"]
_WORDS += ["nan", "inf", "1e999", "T", "", "9" * 400, "-64", "8", "16", "2147483648"]


def _nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


# What stands in place of a value: other types, extremes, odd text, depth.
_ODD = [None, True, False, 0, 1, -1, 3, 2**31, 2**63, -(2**63), 10**30, 10**12]
_ODD += [0.5, 1e308, -1e308, float("nan"), float("inf"), 1e-320]
_ODD += ["", "x", "nan", "1e999", "é☃\u202e", "a\nb", "\x00", "\ud800", "9" * 5000]
_ODD += ["../../../etc/passwd", "/dev/zero", "[0]", "{id}", "{id:999999999999}"]
_ODD += ["(a+)+$", "(", "a" * 100_000, "<script>", "[/b]", "float99", "__lambda__"]
_ODD += [[], {}, [1, 2, 3], [None], ["x"] * 5, {"a": 1}, {"x": {"y": []}}]
_ODD += [_nested(60), {"1": 2}, [[1, 2], [3]], [10**9, 10**9], [-1, -1]]


def _few(random: Random) -> int:
    return random.choice([1, 1, 1, 2, 4])


def flip(random: Random, content: bytes, start: int = 0, stop: int | None = None):
    """Changes, cuts, doubles, inserts or moves bytes between start and stop."""
    content = bytearray(content)
    stop = len(content) if stop is None else min(stop, len(content))
    for _ in range(_few(random)):
        at = random.randrange(start, max(stop, start + 1))
        length = random.randrange(1, 65)
        kind = random.randrange(8)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            del content[at : at + length]
        elif kind == 2:
            content[at:at] = content[at : at + length]
        elif kind == 3:
            content[at : at + length] = random.randbytes(length)
        elif kind == 4:
            content[at:at] = random.randbytes(length)
        elif kind == 5:
            content[at : at + length] = b"\xff" * length
        elif kind == 6:
            _write_number(random, content, at)
        elif random.randrange(10) < 4:
            del content[at:]
    return bytes(content)


def _write_number(random: Random, content: bytearray, at: int) -> None:
    at -= at % 4
    size, order = random.choice([4, 8]), random.choice(["<", ">"])
    number = random.choice(_NUMBERS) % (1 << 8 * size)
    if at + size <= len(content):
        struct.pack_into(f"{order}{'I' if size == 4 else 'Q'}", content, at, number)


def swap_numbers(random: Random, content: bytes, wanted: tuple[int, ...]):
    """Puts extremes where a number of the good file stands: sizes, counts, types."""
    content = bytearray(content)
    for _ in range(random.randrange(1, 3)):
        number, size = random.choice(wanted), random.choice([4, 8])
        needle = struct.pack("<I" if size == 4 else "<Q", number)
        places = [m.start() for m in re.finditer(re.escape(needle), bytes(content))]
        if places:
            _write_number(random, content, random.choice(places))
    return bytes(content)


def hdf5(random: Random, content: bytes) -> bytes:
    """Aims at the metadata: it is small, and the pixels need no damage."""
    kind = random.randrange(4)
    if kind == 0:
        return swap_numbers(random, content, (2, 3, 5, 6, 8, 16, 20, 128))
    if kind == 1:
        marks = b"TREE|SNOD|HEAP|OHDR|OCHK|FRHP|GCOL|BTHD"
        places = [m.start() for m in re.finditer(marks, content)] or [0]
        at = random.choice(places)
        return flip(random, content, at, at + 200)
    return flip(random, content, 0, 3000 if kind == 2 else None)


def fits(random: Random, content: bytes) -> bytes:
    """Changes values of header cards, or bytes."""
    if random.randrange(10) < 3:
        return flip(random, content, 0, 3000 if random.randrange(2) else None)
    content = bytearray(content)
    cards = [
        at
        for at in range(0, len(content) - 79, 80)
        if content[at + 8 : at + 10] == b"= " and content[at : at + 8].isascii()
    ]
    for _ in range(_few(random)):
        at = random.choice(cards)
        kind = random.randrange(6)
        if kind == 0:
            other = random.choice(cards)
            content[at : at + 80] = content[other : other + 80]
        elif kind == 1:
            content[at : at + 80] = b" " * 80
        elif kind == 2:
            words = [b"XTENSION", b"BSCALE  ", b"NAXIS3  ", b"ZIMAGE  ", b"GROUPS  "]
            content[at : at + 8] = random.choice(words)
        else:
            text = bytes(content[at + 10 : at + 30])
            word = random.choice(_WORDS)[:20]
            formats = ["1A", "99999999999D", "1PE(9)", "0X", "1QD", "M", "-1J", "1000L"]
            if b"'" in text:
                word = f"'{random.choice(formats):8}'"
            content[at + 10 : at + 30] = f"{word:>20}".encode()
    return bytes(content)


def text(random: Random, content: bytes) -> bytes:
    """Replaces cells of a table in text, or bytes."""
    if random.randrange(10) < 3:
        return flip(random, content)
    cells = [b"", b"x", b"nan", b"1e400", b"9" * 5000, b"-9999", b"1;2", b"\0", b'"']
    cells += [b"'", b"\xff\xfe", "é☃".encode(), b"[1,2]", b"#", b",,,", b"=1+1"]
    cells += [b"\r", b"\n", b"\t", b"True", b"2020-01-01", b"a" * 200_000, b"{id:9}"]
    parts = re.split(rb"([,\t\n ])", content)
    for _ in range(_few(random)):
        at = random.randrange(len(parts))
        kind = random.randrange(4)
        if kind == 0:
            other = random.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 1:
            parts[at] = b""
        else:
            parts[at] = random.choice(cells)
    return b"".join(parts)


def edited(random: Random, value: Any) -> Any:
    """Changes one to three places of a tree of dicts and lists."""
    value = json.loads(json.dumps(value))
    for _ in range(_few(random)):
        places = list(_places(value))
        if not places:
            return _odd(random)
        holder, key = random.choice(places)
        kind = random.randrange(7)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[str(_odd(random))] = holder.pop(key)
        elif kind == 2:
            holder[key] = [holder[key]]
        elif kind == 3:
            other, name = random.choice(places)
            holder[key] = json.loads(json.dumps(other[name]))
        else:
            holder[key] = _odd(random)
    return value


def _places(value: Any):
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            yield from _places(value[key])


def _odd(random: Random) -> Any:
    return json.loads(json.dumps(random.choice(_ODD)))


def as_json(random: Random, content: bytes) -> bytes:
    """Edits the tree of a JSON file, its nesting, or its bytes."""
    kind = random.randrange(12)
    if kind == 0:
        return flip(random, content)
    if kind == 1:
        depth = random.choice([100, 5000, 200_000])
        return b"[" * depth + b"]" * depth if random.randrange(2) else b"[" * depth
    if kind == 2:
        found = list(re.finditer(rb"[0-9.]+", content))
        one = random.choice(found) if found else None
        word = [b"9" * 5000, b"NaN", b"-Infinity", b"1e9999", b"00"]
        new = random.choice(word)
        return content[: one.start()] + new + content[one.end() :] if one else new
    return json.dumps(edited(random, json.loads(content))).encode()


_BOMB = "\n".join(
    ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
)
_YAML_VALUES = [
    *("2001-99-99", "!!python/object/apply:os.system ['true']", "0x" + "f" * 9000),
    *("!!binary '/w=='", "!!set {a, b}", "1:" * 3000 + "1", "&x [*x]", "!!int x"),
    *("!!timestamp x", "{? {a: b} : c}", "{a: &b {c: d}, <<: *b}", "2001-01-01", "~"),
    *("[" * 5000, "*none", "!!float x", "'\\ud800'", "@", "9" * 9000, "[,]", "{1: 2}"),
    *("1e999", ".nan", "-.inf", "{[a]: b}", "\t", "|\n  text", "? x", "on", "{a: 1}"),
    *("&m {<<: *m}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!bool maybe", "0b2", "1_0_0"),
]


def as_yaml(random: Random, content: bytes) -> bytes:
    """Edits the tree of a YAML file, writes odd values into it, or changes bytes."""
    kind = random.randrange(8)
    if kind == 0:
        return flip(random, content)
    if kind == 1:
        lines = content.decode().splitlines()
        at = random.randrange(len(lines))
        name = lines[at].partition(":")[0]
        bomb = f"{_BOMB}\n{name}: *a{random.randrange(3, 12)}".splitlines()
        lines[at : at + 1] = bomb if not name.startswith(" ") else [f"{name}: *a"]
        return "\n".join(lines).encode()
    if kind in (2, 3):
        lines = content.decode().splitlines()
        at = random.randrange(len(lines))
        word = random.choice(_YAML_VALUES)
        lines[at] = lines[at].partition(":")[0] + ": " + word
        return "\n".join(lines).encode()
    tree = edited(random, yaml.safe_load(content))
    return json.dumps(tree).encode()


def value(random: Random, content: bytes) -> bytes:
    """Returns what may follow the = of a setting."""
    if random.randrange(2):
        return random.choice(_YAML_VALUES).encode()
    if random.randrange(2):
        return json.dumps(_odd(random)).encode()
    return flip(random, content)


def safetensors(random: Random, content: bytes) -> bytes:
    """Edits the JSON header, one of the JSON texts in its metadata, or bytes."""
    (length,) = struct.unpack_from("<Q", content)
    kind = random.randrange(6)
    if kind == 0:
        return flip(
            random, content, 0, length + 8 if random.randrange(10) < 7 else None
        )
    if kind == 5:
        return _other_values(random, content, 8 + length)
    if kind == 1:
        number = random.choice([0, 7, length + 1, 2**27, 2**63])
        return struct.pack("<Q", number) + content[8:]
    header = json.loads(content[8 : 8 + length])
    inner = header.get("__metadata__") or {}
    if kind == 2 or not inner:
        header = edited(random, header)
    else:
        name = random.choice(list(inner))
        inside = inner[name] if inner[name][:1] in "{[" else "[1]"
        inner[name] = as_json(random, inside.encode()).decode("utf-8", "replace")
    said = json.dumps(header).encode()
    return struct.pack("<Q", len(said)) + said + content[8 + length :]


def _other_values(random: Random, content: bytes, start: int) -> bytes:
    """Writes odd float32 values among those that begin at a place."""
    content = bytearray(content)
    nan, inf = float("nan"), float("inf")
    values = [nan, inf, -inf, 3.4e38, 1e-45, -0.0, 1e6]
    for _ in range(_few(random)):
        at = start + 4 * random.randrange((len(content) - start) // 4)
        struct.pack_into("<f", content, at, random.choice(values))
    return bytes(content)


def npy(random: Random, content: bytes) -> bytes:
    """Edits the header of an .npy file, or bytes."""
    (length,) = struct.unpack_from("<H", content, 8)
    if random.randrange(10) < 3:
        return flip(random, content, 0, 10 + length)
    header = content[10 : 10 + length].decode("latin1")
    shapes = ["()", "(-1,)", "(99999999999,)", "(4611686018427387904, 4)", "(3, 3)"]
    shapes += ["(0,)", "(2147483648, 2, 16, 16)", "(True,)", "('a',)", "[3]", "(3.0,)"]
    types = ["'|O'", "'<f2'", "'>f8'", "'|S3'", "'<U9'", "'<c16'", "'<M8[s]'", "'|V8'"]
    types += ["[('a', '<f4')]", "'x'", "'|b1'", "'<f4,<f4'", "'|S2000000000'"]
    for _ in range(random.randrange(1, 3)):
        kind = random.randrange(3)
        if kind == 0:
            header = re.sub(r"\([^)]*\)", random.choice(shapes), header)
        elif kind == 1:
            new = random.choice(types)
            header = re.sub(r"'descr': [^,]+", f"'descr': {new}", header)
        else:
            header = header.replace("False", random.choice(["True", "3", "None"]))
    said = header.encode("latin1")
    return content[:8] + struct.pack("<H", len(said)) + said + content[10 + length :]


def zipped(random: Random, content: bytes) -> bytes:
    """Changes the members of a zip file, with right checksums, or the zip's bytes."""
    kind = random.randrange(6)
    if kind == 0:
        return flip(random, content)
    if kind == 1:
        end = len(content)
        return flip(random, content, max(0, end - 600), end)
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        members = {name: old.read(name) for name in old.namelist()}
    names = [name for name in members if name != "metadata.json"]
    name = random.choice(names)
    if kind == 2 and random.randrange(2):
        _rename(random, members, name)
    elif kind == 2 and random.randrange(10) < 2:
        members[name] = b"\0" * 50_000_000
    elif name in MEMBERS:
        members[name] = MEMBERS[name](random, members[name])
    else:
        members[name] = npy(random, members[name])
    stream = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if kind == 2 else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", method, compresslevel=1) as new:
        for name, inside in members.items():
            new.writestr(name, inside)
    return stream.getvalue()


def _rename(random: Random, members: dict[str, bytes], name: str) -> None:
    inside = members.pop(name)
    others = ["../evil.txt", "/tmp/evil.txt", "assets/../../evil", "x" * 3000, "é☃"]
    others += ["model.weights.npz", "assets/a", "images.npy", "id.npy", name.upper()]
    members[random.choice(others)] = inside
    if random.randrange(2):
        members[name] = inside


def footer(random: Random, content: bytes) -> bytes:
    """Changes bytes, mostly of the description at the end, as parquet has it."""
    if random.randrange(10) < 4:
        return flip(random, content)
    return flip(random, content, max(0, len(content) - 900))


MEMBERS: dict[str, Callable[[Random, bytes], bytes]] = {
    "config.json": as_json,
    "model.weights.h5": hdf5,
}
KINDS: dict[str, Callable[[Random, bytes], bytes]] = {
    "bytes": flip,
    "fits": fits,
    "hdf5": hdf5,
    "json": as_json,
    "parquet": footer,
    "safetensors": safetensors,
    "text": text,
    "value": value,
    "yaml": as_yaml,
    "zip": zipped,
}


class Damaged:
    """A file name and bytes; it is shown without them."""

    def __init__(self, file: str, content: bytes) -> None:
        self.file, self.content = file, content

    def __repr__(self) -> str:
        return f"{len(self.content)} bytes of {self.file}"


def damaging(kinds: dict[str, str], good: dict[str, bytes]) -> st.SearchStrategy:
    """Returns a strategy for `Damaged`: one of the files, changed in any case.

    Args:
        kinds: dict, file name to kind of damage.
        good: dict, file name to bytes.
    """

    @st.composite
    def damaged(draw: st.DrawFn) -> Damaged:
        file = draw(st.sampled_from(sorted(kinds)))
        random = draw(st.randoms(note_method_calls=False))
        content = KINDS[kinds[file]](random, good[file])
        assume(content != good[file])
        return Damaged(file, content)

    return damaged()
