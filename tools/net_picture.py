"""The picture of the net, docs/net.svg: what a pair of images goes through, with the code's own numbers."""

from html import escape

from reid.nets.backbones.registry import BACKBONES
from reid.nets.heads import Heads

STYLE = ("text{font-family:sans-serif;font-size:13px;fill:#222}.name{font-weight:bold}"
         ".small{font-size:12px;fill:#555}rect{fill:#eef3fa;stroke:#5b7fae;rx:6px}"
         ".loss{fill:#fdf3e3;stroke:#c08a3e}.head{fill:#eef7ee;stroke:#5f9a5f}"
         ".page{fill:#fff;stroke:none;rx:0}path{fill:none;stroke:#666;stroke-width:1.5}"
         ".shared{stroke-dasharray:5 4}")
WIDTH, HEIGHT = 1000, 330
TOP, MIDDLE, BOTTOM = 40, 140, 240    # where the branch of image a, what joins the two, and that of b begin


def svg() -> str:
    """The picture as SVG, for the backbone of the paper's best rows."""
    net = BACKBONES["resnet50"]
    kept = f"dropout {Heads.dropout:g}, one mask for both"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img">',
        "<title>The net: two images, one backbone with shared weights, two heads, three losses</title>",
        f"<style>{STYLE}</style>",
        '<marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" style="fill:#666"/></marker>',
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>']
    for letter, y in (("a", TOP), ("b", BOTTOM)):
        parts += [_box(20, y, 110, f"image {letter}", f"{net.height}×{net.width}"),
                  _box(170, y, 150, "backbone", "VGG-16 or ResNet-50"),
                  _box(360, y, 130, f"feature x{'₁' if letter == 'a' else '₂'}",
                       f"{net.feature_dims[0]} numbers"),
                  _box(620, y, 170, "identification", "fc, softmax over people", "head"),
                  _box(840, y, 140, "loss × " + f"{Heads.id_weight:g}", f"who is on image {letter}?", "loss"),
                  *(_arrow(f"M{x} {y + 25}H{to}") for x,
                    to in ((130, 170), (320, 360), (490, 620), (790, 840)))]
    parts += [
        _arrow(f"M245 {TOP + 50}V{BOTTOM}", "shared", False),
        _text("the same weights", 255, MIDDLE + 29, "small"),
        _text(kept, 395, TOP - 14, "small"), _arrow(f"M520 {TOP - 8}V{TOP + 25}", "shared", False),
        _arrow(f"M520 {TOP + 25}V{MIDDLE + 25}H560"), _arrow(f"M520 {BOTTOM + 25}V{MIDDLE + 25}H560"),
        _box(560, MIDDLE, 110, "(x₁ − x₂)²", "by component"), _arrow(f"M670 {MIDDLE + 25}H690"),
        _box(690, MIDDLE, 118, "verification", "ReLU, fc, softmax", "head"),
        _arrow(f"M808 {MIDDLE + 25}H840"),
        _box(840, MIDDLE, 140, f"loss × λ = {Heads.verif_weight:g}", "the same person?", "loss"),
        _text("For searching: the feature alone, L2-normalised; the smaller the squared distance, the more "
              "alike.",
              20, HEIGHT - 14, "small")]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(x: int, y: int, width: int, name: str, about: str, kind: str = "") -> str:
    shown = f' class="{kind}"' if kind else ""
    return (f'<rect{shown} x="{x}" y="{y}" width="{width}" height="50"/>'
            + _text(name, x + 8, y + 21, "name") + _text(about, x + 8, y + 39, "small"))


def _arrow(path: str, kind: str = "", pointed: bool = True) -> str:
    end = ' marker-end="url(#end)"' if pointed else ""
    return f'<path{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}{end} d="{path}"/>'


def _text(text: str, x: int, y: int, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'
