"""The picture of docs/architecture.md, drawn from the code's imports: the rooms, and the way of the data."""

import ast
import textwrap
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path

from reid.common.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
HOUSES = {"tools": ROOT, "weights": ROOT, "data_prep": ROOT, "reid": ROOT / "python"}
TOOLS = "What a person types: short shell scripts and thin Python command lines."
# What becomes of the data, and the module that does it.
WAY = (("raw images", "read, counted, checked", "data_prep.readers.registry"),
       ("checked index", "split: who trains, who tests", "data_prep.splits.load"),
       ("image, pair LMDB", "and a manifest", "data_prep.prepare"),
       ("PairData layer", "crop, flip, mean; workers", "reid.layers.pair_data"),
       ("training net", "2N images, two heads", "reid.nets.build"),
       ("solver", "losses 1, 1, 3; snapshots", "reid.engine.loop"),
       ("features", "of the backbone alone", "reid.features.extract"),
       ("ranking", "CMC, mAP by the protocol", "reid.metrics.protocol"),
       ("result.json", "figures, lineage, versions", "reid.stages.finish"),
       ("tables, curves", "the paper's rows and ours", "reid.report.table"))
WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 268, 74, 340, 96, 24     # of a room; from room to room; around all
STEP_WIDTH, STEP_HEIGHT, STEPS = 170, 66, 5                    # of a step of the way; steps in a row
STYLE = ("text{font-family:sans-serif;font-size:12px;fill:#222}.name{font-weight:bold;font-size:14px}"
         ".head{font-weight:bold;font-size:16px}.small{font-size:11px;fill:#555}"
         "rect{fill:#eef3fa;stroke:#5b7fae}.program{fill:#fdf3e3;stroke:#c08a3e}.step{fill:#eef7ee;stroke:#5f9a5f}"
         ".page{fill:#fff;stroke:none}path{fill:none;stroke:#777}")


def room_of(module: str) -> str | None:
    """The room that a dotted name lies in: a folder of the library or of programs; None elsewhere."""
    parts = module.split(".")
    if parts[0] == "reid":
        return ".".join(parts[:2]) if len(parts) > 1 else None
    return parts[0] if parts[0] in HOUSES else None


@cache
def imports() -> dict[str, set[str]]:
    """{room: the other rooms that its files import}."""
    found = {}
    for house, base in HOUSES.items():
        for file in sorted((base / house).rglob("*.py")):
            room = room_of(".".join(file.relative_to(base).with_suffix("").parts))
            for node in _run(ast.parse(file.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
                    [f"{node.module}.{alias.name}" for alias in node.names]
                    if isinstance(node, ast.ImportFrom) else [])
                found.setdefault(room, set()).update(filter(None, map(room_of, names)))
    return {room: others - {room} for room, others in found.items() if room != "reid.__init__"}


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one that run: all but those under `if TYPE_CHECKING`, which name types alone."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _run(node)


def level(room: str, above: tuple[str, ...] = ()) -> int:
    """How many rooms stand below one; InputError where imports run in a circle."""
    if room in above:
        raise InputError(f"imports run in a circle: {' → '.join([*above, room])}; take one of them out")
    return max((1 + level(other, (*above, room)) for other in imports()[room]), default=0)


def arrows() -> list[tuple[str, str]]:
    """The imports that no way around through other rooms stands for, as (room, room below)."""
    def reached(room: str) -> set[str]:
        return {room}.union(*map(reached, imports()[room]))
    return [(room, other) for room, others in sorted(imports().items()) for other in sorted(others)
            if not any(other in reached(between) for between in others - {other})]


def places() -> dict[str, tuple[int, int]]:
    """{room: (x, y) of its upper left corner}: programs left, of the library the most imported first."""
    used = {room: sum(room in others for others in imports().values()) for room in imports()}
    top, taken, found = max(map(level, imports())), {}, {}
    for room in sorted(imports(), key=lambda room: (-used[room], room)):
        row = top - level(room)
        column = 0 if room in ("weights", "data_prep") else 1 + taken.setdefault(row, 0)
        taken[row] = taken.get(row, 0) + (column > 0)
        found[room] = MARGIN + column * ACROSS, 2 * MARGIN + 16 + row * DOWN
    return found


def svg() -> str:
    """The picture as SVG: arrows point from what imports to what is imported."""
    spots = places()
    bottom = max(y for _, y in spots.values()) + HEIGHT
    width = max(max(x for x, _ in spots.values()) + WIDTH, STEPS * (STEP_WIDTH + MARGIN)) + 2 * MARGIN
    height = bottom + 4 * MARGIN + -(-len(WAY) // STEPS) * (STEP_HEIGHT + MARGIN)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
             f"<title>The rooms of the project and the way of the data</title><style>{STYLE}</style>",
             '<marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
             'orient="auto"><path d="M0 0 8 4 0 8z" style="fill:#777"/></marker>',
             f'<rect class="page" width="{width}" height="{height}"/>',
             _text("Rooms: who imports whom (what follows from other arrows is left out)", MARGIN,
                   MARGIN + 8, "head")]
    lines += [_arrow(number, spots[room], spots[other]) for number, (room, other) in enumerate(arrows())]
    lines += [_room(room, *spot) for room, spot in spots.items()]
    lines.append(_text("The way of the data", MARGIN, bottom + 2 * MARGIN, "head"))
    lines += [_step(number, bottom + 3 * MARGIN) for number in range(len(WAY))]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _room(room: str, x: int, y: int) -> str:
    """A room's box, with its name and the sentence that its folder says of itself."""
    folder = HOUSES[room.split(".")[0]] / room.replace(".", "/")
    says = TOOLS if room == "tools" else ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    kind = "" if room.startswith("reid.") else ' class="program"'
    lines = [_text(line, x + 10, y + 37 + 14 * number, "small")
             for number, line in enumerate(textwrap.wrap(says.split("\n")[0], 42)[:3])]
    return (f'<rect{kind} x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
            + _text(str(folder.relative_to(ROOT)), x + 10, y + 20, "name") + "".join(lines))


def _arrow(number: int, source: tuple[int, int], target: tuple[int, int]) -> str:
    """An arrow: straight down to the next room of a column, else through the gap between two columns."""
    (x, y), (to_x, to_y) = source, target
    if x == to_x and to_y - y == DOWN:
        return f'<path marker-end="url(#end)" d="M{x + WIDTH // 2} {y + HEIGHT}V{to_y}"/>'
    right = to_x > x or x == to_x       # leaves at its right; and arrives at the side that the gap lies on
    lane = (x + WIDTH if right else x - ACROSS + WIDTH) + 12 + number * 7 % 49
    arrives = to_x if to_x > lane else to_x + WIDTH
    return (f'<path marker-end="url(#end)" d="M{x + WIDTH if right else x} {y + 48}H{lane}V{to_y + 24}'
            f'H{arrives}"/>')


def _step(number: int, top: int) -> str:
    """One step of the way of the data, and the arrow to the next."""
    name, what, module = WAY[number]
    base = HOUSES[module.split(".")[0]]
    if not (base / (module.replace(".", "/") + ".py")).is_file():
        raise InputError(f"{__file__}: WAY names the module {module}, which is not there; name the one that "
                         "is")
    x = MARGIN + number % STEPS * (STEP_WIDTH + MARGIN)
    y = top + number // STEPS * (STEP_HEIGHT + MARGIN)
    box = (f'<rect class="step" x="{x}" y="{y}" width="{STEP_WIDTH}" height="{STEP_HEIGHT}" rx="6"/>'
           + _text(name, x + 8, y + 20, "name") + _text(what, x + 8, y + 38, "small")
           + _text(module, x + 8, y + 55, "small"))
    if number + 1 == len(WAY):
        return box
    middle = y + STEP_HEIGHT // 2
    way = f"M{x + STEP_WIDTH} {middle}h{MARGIN}" if (number + 1) % STEPS else (
        f"M{x + STEP_WIDTH // 2} {y + STEP_HEIGHT}v{MARGIN // 2}H{MARGIN + STEP_WIDTH // 2}v{MARGIN // 2}")
    return box + f'<path marker-end="url(#end)" d="{way}"/>'


def _text(text: str, x: int, y: int, kind: str = "") -> str:
    shown = f' class="{kind}"' if kind else ""
    return f'<text{shown} x="{x}" y="{y}">{escape(text)}</text>'
