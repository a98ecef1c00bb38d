"""The small JSON file beside a caffemodel: which net it is, which mean it wants, and where it came from."""

import hashlib
import json
from pathlib import Path

from reid.common.files import sha256_file, write_whole


def path(caffemodel):
    """The sidecar's path: the caffemodel's and .json."""
    return Path(f"{caffemodel}.json")


def write(caffemodel, content, *, name, base, mean, origin, licence):
    """Write the bytes of a caffemodel, then its sidecar: neither is ever half there, or beside another's."""
    path(caffemodel).unlink(missing_ok=True)
    write_whole(caffemodel, content)
    facts = {"name": name, "base": base, "sha256": hashlib.sha256(content).hexdigest(), "mean": list(mean),
             "origin": origin, "licence": licence}
    write_whole(path(caffemodel), json.dumps(facts, indent=1) + "\n")
    return facts


def read(caffemodel):
    """The facts beside a caffemodel; None where there are none."""
    file = path(caffemodel)
    return json.loads(file.read_text()) if file.is_file() else None


def whole(caffemodel):
    """Whether a caffemodel is there with its sidecar, and is what the sidecar says."""
    facts = read(caffemodel)
    return bool(facts) and Path(caffemodel).is_file() and sha256_file(caffemodel) == facts["sha256"]
