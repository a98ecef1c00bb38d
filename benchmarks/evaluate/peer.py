"""The same evaluation by torchreid, of the query.npz and gallery.npz in a folder; prints a line of JSON.

    PYTHON benchmarks/evaluate/peer.py [FOLDER]

Without a folder it only finds out whether torchreid is there.
"""
import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import torch


def _module(name: str) -> ModuleType:
    """A file of torchreid's metrics by itself: importing the package asks for all that its training needs."""
    package = Path(importlib.util.find_spec("torchreid").origin).parent
    spec = importlib.util.spec_from_file_location(f"torchreid_{name}",
                                                  package / "reid" / "metrics" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


distance, ranking = _module("distance"), _module("rank")


def rank(query: dict[str, np.ndarray], gallery: dict[str, np.ndarray]) -> tuple[float, float]:
    """Rank-1 and mAP (step) of dicts of features, ids and cams, as torchreid's engine computes them."""
    unit = [torch.nn.functional.normalize(torch.from_numpy(part["features"]), dim=1)
            for part in (query, gallery)]
    distances = distance.compute_distance_matrix(*unit).numpy()
    cmc, precision = ranking.evaluate_rank(distances, query["ids"], gallery["ids"], query["cams"],
                                           gallery["cams"])
    return float(cmc[0]), float(precision)


if __name__ == "__main__" and len(sys.argv) > 1:
    sides = [dict(np.load(Path(sys.argv[1]) / f"{side}.npz")) for side in ("query", "gallery")]
    began = time.perf_counter()
    found = rank(*sides)
    print(json.dumps({"figures": found, "seconds": time.perf_counter() - began}))
