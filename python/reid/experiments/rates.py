"""How fast this machine trains, from the results of finished runs, and so how long others will take."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

from reid.engine.device import BFLOAT16
from reid.engine.settings import Settings, as_text
from reid.formats import result as result_file
from reid.formats.manifest import READINGS
from reid.provenance import finished


class Rates:
    """Pairs per second of finished runs, by backbone, input and device, and pairs in an epoch, by dataset.

    places: folders with result.json below them; what an earlier one knows of a net counts before a later one.
    """

    def __init__(self, places: Iterable[Path]) -> None:
        self._found: list[tuple[Path, dict]] = []
        for place in places:
            seen, pairs = defaultdict(list), defaultdict(list)
            for file in sorted(Path(place).rglob(result_file.NAME)):
                result = finished.read(file.parent)
                if result.pairs_per_second and "input" in result.settings:
                    where = _where(result.device or "cpu", result.settings.get("arithmetic"))
                    key = result.base, tuple(result.settings["input"]), where
                    seen[key].append(result.pairs_per_second)
                epochs, most, batch = (result.settings.get(key) for key in ("epochs", "max_iter", "batch"))
                if epochs and batch and not most and not result.generated:
                    pairs[result.dataset, *_counted(result.readings)].append(
                        result.iterations * batch / epochs)
            self._found.append((Path(place), *({key: median(values) for key, values in known.items()}
                                               for known in (seen, pairs))))

    def of(self, base: str, settings: Settings, device: str) -> tuple[float, str] | None:
        """(pairs per second, where that is from) of a net, or None where nothing near it was measured.

        Of another input size it is scaled by the number of pixels, and the text says so.
        """
        device = _where(device, settings.arithmetic)
        key = base, tuple(settings.input), device
        for place, known, _ in self._found:
            if key in known:
                return known[key], (f"{base} at {as_text(settings.input)} on the {device}: "
                                    f"{known[key]:.1f} pairs/s, measured by runs in {place}")
        for place, known, _ in self._found:
            for (other, size, where), rate in sorted(known.items()):
                if (other, where) == (base, device):
                    scaled = rate * size[0] * size[1] / (settings.input.height * settings.input.width)
                    return scaled, (f"{base} at {as_text(settings.input)} on the {device}: about "
                                    f"{scaled:.1f} pairs/s, from {rate:.1f} at {size[0]}x{size[1]} in "
                                    f"{place} and the number of pixels")
        return None

    def epoch(self, dataset: str, readings: Mapping[str, str]) -> tuple[float, str] | None:
        """(about how many pairs an epoch of a split of a real dataset has, where that is from), or None.

        readings: how the pairs are prepared, as in a manifest.
        """
        for place, _, known in self._found:
            if pairs := known.get((dataset, *_counted(readings))):
                return pairs, f"{dataset}: about {pairs:.0f} pairs an epoch, as runs in {place} had"
        return None


def _where(device: str, arithmetic: str | None) -> str:
    """What computes, as a phrase: runs in bfloat16 say nothing of how long others take."""
    return f"{device} in {arithmetic}" if arithmetic == BFLOAT16 else device


def _counted(readings: Mapping[str, str] | None) -> tuple[str, ...]:
    """What of the readings changes how many pairs an epoch has."""
    return tuple((readings or {}).get(key, READINGS[key][0]) for key in ("anchors", "mirror"))
