"""Not a test: records rewritten as the program that wrote them would have, their own checksum included."""

import copy
import hashlib
import json
import math
from contextlib import contextmanager

import lmdb
import yaml

from reid.formats.json_record import CHECKSUM, signed

GONE, SHORT, NESTED = "gone", "short", [["x"]]
FORGED = (None, "x", [], {}, -1, 3, True, math.nan, 1e308, 10 ** 400, NESTED, GONE, SHORT)
"""What stands in place of a value in a record: GONE is none, SHORT a list without its last."""


def edit(file, change):
    """Call `change` with the content of a record, and write the record again with a checksum that fits."""
    content = json.loads(file.read_text())
    content.pop("checksum", None)
    change(content)
    file.write_text(json.dumps(signed(content)))


def unsigned(file):
    """Write a record again as versions did that knew no checksum of its own."""
    content = json.loads(file.read_text())
    del content["checksum"]
    file.write_text(json.dumps(content))


def load(file):
    """The content of a record: JSON, YAML, or what a pair LMDB says of itself."""
    if file.suffix == ".mdb":
        with _values(file) as values:
            return json.loads(bytes(values.get(b"meta")))
    content = (yaml.safe_load if file.suffix == ".yaml" else json.loads)(file.read_text())
    content.pop(CHECKSUM, None)
    return content


def store(file, content):
    """Write a record again; of a pair LMDB also its manifest, in the folder above its split's."""
    if file.suffix == ".yaml":
        file.write_text(yaml.safe_dump(content))
    elif file.suffix == ".json":
        file.write_text(json.dumps(signed(content)))
    else:
        with _values(file, write=True) as values:
            values.put(b"meta", json.dumps(content).encode())
        role, split = file.parents[0].name, file.parents[1].name
        facts = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "bytes": file.stat().st_size}
        edit(file.parents[2] / "manifest.json",
             lambda manifest: manifest["splits"][split].update({f"{role}_pairs": facts}))


@contextmanager
def _values(file, write=False):
    size = {"map_size": 1 << 24} if write else {}
    with (lmdb.open(str(file.parent), lock=False, readonly=not write, **size) as environment,
          environment.begin(write=write) as values):
        yield values


def places(value, at=()):
    """The paths of keys to everything in a record; of a list to its first and its last."""
    inner = (value.items() if isinstance(value, dict) else
             {0: value[0], len(value) - 1: value[-1]}.items() if isinstance(value, list) and value else ())
    for key, one in inner:
        yield (*at, key)
        yield from places(one, (*at, key))


def forge(content, place, value):
    """A copy of a record with one of FORGED at a place; None where it is the same."""
    content = copy.deepcopy(content)
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    before = parent[place[-1]]
    if value == GONE:
        del parent[place[-1]]
    elif value == SHORT:
        if not isinstance(before, list) or not before:
            return None
        before.pop()
    elif type(before) is type(value) and before == value:
        return None
    else:
        parent[place[-1]] = value
    return content
