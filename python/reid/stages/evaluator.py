"""The evaluation of a split: its queries and gallery, and the figures of their features."""

from typing import Any

import numpy as np

from reid.formats.manifest import Manifest
from reid.metrics.chance import market1501_chance
from reid.metrics.multi_query import POOLS, pool
from reid.metrics.protocol import rank
from reid.metrics.summary import chance, summary

QUERY, GALLERY, MULTI = "query", "gallery", "multi_query"


class Evaluator:
    """The queries and the gallery of a split of a data manifest.

    rows: {"query": [image row, …], "gallery": …} and, where the dataset has multiple queries, "multi_query";
    alone: how many queries have no images to pool; the feature of such a query is its own.
    """

    def __init__(self, manifest: Manifest, split: str) -> None:
        self.manifest, entry = manifest, manifest.splits[split]
        self.rows, self.alone = {side: getattr(entry, side) for side in (QUERY, GALLERY)}, 0
        if entry.multi_query:
            identity, camera = manifest.images.identity, manifest.images.camera
            there = {(identity[row], camera[row]) for row in entry.multi_query}
            alone = [row for row in entry.query if (identity[row], camera[row]) not in there]
            self.rows[MULTI], self.alone = [*entry.multi_query, *alone], len(alone)

    def about(self, side: str) -> dict[str, np.ndarray]:
        """The ids, cams and names (N,) of a side's images.

        Market-1501's identities are numbers: −1 junk, 0 distractors.
        """
        images, names = self.manifest.images, self.manifest.identities
        kind = int if self.manifest.protocol == "market1501" else str
        return {"ids": np.array([kind(names[images.identity[row]]) for row in self.rows[side]]),
                "cams": np.array([images.camera[row] for row in self.rows[side]]),
                "names": np.array([images.path[row] for row in self.rows[side]])}

    def identities(self) -> int:
        """How many identities the queries have; in single-shot sets, how many the gallery has."""
        side = QUERY if self.manifest.protocol == "market1501" else GALLERY
        return len(set(self.about(side)["ids"].tolist()))

    def figures(self, features: dict[str, np.ndarray]) -> dict[str, Any]:
        """The summary of {side: features (N, D)}; of a side "multi_query" its own, under that key."""
        parts = {side: {**self.about(side), "features": of} for side, of in features.items()}
        query, gallery, protocol = parts[QUERY], parts[GALLERY], self.manifest.protocol
        figures = summary(rank(protocol, query, gallery))
        if MULTI in parts:
            images = parts[MULTI]
            pooled = {how: pool(query["ids"], query["cams"], images["features"], images["ids"],
                                images["cams"], how)
                      for how in POOLS}
            figures[MULTI] = {how: summary(rank(protocol, {**query, "features": of}, gallery))
                              for how, of in pooled.items()}
        return figures

    def chance(self) -> dict[str, Any]:
        """The figures of a random order: {"cmc": …}, in Market-1501's protocol {"cmc": …, "mAP": …}."""
        query, gallery = self.about(QUERY), self.about(GALLERY)
        if self.manifest.protocol == "market1501":
            return market1501_chance(query["ids"], query["cams"], gallery["ids"], gallery["cams"])
        return {"cmc": chance(self.identities())}
