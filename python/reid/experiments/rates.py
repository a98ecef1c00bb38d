"""How fast this machine trains, from the results of finished runs, and so how long others will take."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from reid.engine.settings import Settings, as_text
from reid.formats import result as result_file
from reid.provenance import finished


class Rates:
    """Pairs per second of finished runs, by backbone, input and device.

    places: folders with result.json below them; what an earlier one knows of a net counts before a later one.
    """

    def __init__(self, places: Iterable[Path]) -> None:
        self._found: list[tuple[Path, dict]] = []
        for place in places:
            seen = defaultdict(list)
            for file in sorted(Path(place).rglob(result_file.NAME)):
                result = finished.read(file.parent)
                if result.pairs_per_second and "input" in result.settings:
                    key = result.base, tuple(result.settings["input"]), result.device or "cpu"
                    seen[key].append(result.pairs_per_second)
            self._found.append((Path(place), {key: median(values) for key, values in seen.items()}))

    def of(self, base: str, settings: Settings, device: str) -> tuple[float, str] | None:
        """(pairs per second, where that is from) of a net, or None where nothing near it was measured.

        Of another input size it is scaled by the number of pixels, and the text says so.
        """
        key = base, tuple(settings.input), device
        for place, known in self._found:
            if key in known:
                return known[key], (f"{base} at {as_text(settings.input)} on the {device}: "
                                    f"{known[key]:.1f} pairs/s, measured by runs in {place}")
        for place, known in self._found:
            for (other, size, where), rate in sorted(known.items()):
                if (other, where) == (base, device):
                    scaled = rate * size[0] * size[1] / (settings.input.height * settings.input.width)
                    return scaled, (f"{base} at {as_text(settings.input)} on the {device}: about "
                                    f"{scaled:.1f} pairs/s, from {rate:.1f} at {size[0]}x{size[1]} in "
                                    f"{place} and the number of pixels")
        return None
