"""Score a feature file of probes against one of a gallery."""

import argparse
import json
import sys

from data_prep.errors import InputError, command_line
from data_prep.files import write_whole
from data_prep.rng import generator
from reid.features.files import read_features
from reid.metrics.distance import squared_distances
from reid.metrics.single_shot import exact, sampled
from reid.metrics.summary import summary


@command_line
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--query", required=True, help="feature file of the probes (.npz)")
    parser.add_argument("--gallery", required=True, help="feature file of the gallery (.npz)")
    parser.add_argument("--protocol", required=True, choices=["single-shot"])
    parser.add_argument("--draws", type=int, help="average over this many random galleries (default: all, exactly)")
    parser.add_argument("--seed", type=int, default=0, help="of the random galleries (default 0)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures here, as fractions of 1")
    arguments = parser.parse_args()
    if arguments.draws is not None and arguments.draws < 1:
        parser.error("--draws must be at least 1")

    query, gallery = read_features(arguments.query), read_features(arguments.gallery)
    if query["ids"].dtype.kind != gallery["ids"].dtype.kind:
        raise InputError(f"identities are of type {query['ids'].dtype} in {arguments.query} and "
                         f"{gallery['ids'].dtype} in {arguments.gallery}: none could match")
    distances = squared_distances(query["features"], gallery["features"])
    if arguments.draws is None:
        mode, ranking = "exact", exact(distances, query["ids"], gallery["ids"])
    else:
        rng = generator(arguments.seed, "gallery")
        mode, ranking = "sampled", sampled(distances, query["ids"], gallery["ids"], arguments.draws, rng)
    figures = {"protocol": "single-shot", "mode": mode, **summary(ranking)}

    print(f"single-shot ({mode}): {figures['queries']} probes, "
          f"{figures['queries_without_match']} without a match in the gallery")
    for rank, share in figures["cmc"].items():
        print(f"  rank-{rank:<3} {100 * share:6.2f} %")
    for flavour, value in figures["mAP"].items():
        print(f"  mAP {100 * value:8.2f} %  ({flavour})")
    if arguments.json:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
