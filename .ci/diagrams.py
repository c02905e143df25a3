"""The drawings of the documentation: `docs/pictures/NAME.yaml` becomes `NAME.svg`.

`diagrams.py write` draws all of them, `diagrams.py check` fails if one is not as drawn.
A drawing has boxes on a grid, and arrows from box to box:

    title: what it shows, for readers who do not see it
    grid: {width: 190, gap: 110, height: 60, space: 34}   # of columns and rows, in pixels
    boxes:
      broker: {at: [1, 0], rows: 3, text: Broker, note: more, kind: main}
    arrows:
      - {from: people, to: broker, text: a proof, dashed: true, both: true}

Colors follow the reader's scheme; a drawing contains no script and refers to nothing.
"""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import yaml

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
GRID = {"width": 190, "gap": 110, "height": 60, "space": 34}
MARGIN, LINE, SIZE = 16, 17, 13
CHARACTER = {"name": 8.2, "note": 6.9, "label": 6.9}
"""The mean width of a character in pixels, on the safe side, by style."""

STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #1f2933; }
    .name { font-weight: 600; } .note, .label { fill: #52606d; }
    .card { fill: #fff; } .box { fill: #f5f7fa; stroke: #7b8794; }
    .main { fill: #e0f2fe; stroke: #0369a1; } .good { fill: #e6f6ec; stroke: #2f855a; }
    .bad { fill: #fdecea; stroke: #b42318; } .plain { fill: none; stroke: none; }
    .line { stroke: #52606d; fill: none; } .head { fill: #52606d; }
    .behind { stroke: #fff; stroke-width: 4px; paint-order: stroke; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e4e7eb; } .note, .label { fill: #b6c0cc; }
      .card { fill: #14181d; } .box { fill: #232a33; stroke: #7b8794; }
      .main { fill: #0c3149; stroke: #38bdf8; } .good { fill: #12351f; stroke: #4ade80; }
      .bad { fill: #47171a; stroke: #f87171; } .plain { fill: none; stroke: none; }
      .line { stroke: #b6c0cc; } .head { fill: #b6c0cc; } .behind { stroke: #14181d; }
    }
"""


class Box:
    """A box of a drawing, and where it is."""

    def __init__(self, params: dict[str, Any], grid: dict[str, int]) -> None:
        column, row = params["at"]
        columns, rows = params.get("columns", 1), params.get("rows", 1)
        self.left = MARGIN + column * (grid["width"] + grid["gap"])
        self.top = MARGIN + row * (grid["height"] + grid["space"])
        self.width = columns * grid["width"] + (columns - 1) * grid["gap"]
        self.height = rows * grid["height"] + (rows - 1) * grid["space"]
        self.right, self.bottom = self.left + self.width, self.top + self.height
        self.kind = params.get("kind", "box")
        self.texts = [
            (style, line)
            for style in ("name", "note")
            for part in str(params.get("text" if style == "name" else style, "")).split(
                "\n"
            )
            for line in textwrap.wrap(part, int((self.width - 16) / CHARACTER[style]))
        ]
        if len(self.texts) * LINE > self.height:
            raise SystemExit(f"the box {params} has no room for its text")

    def draw(self) -> Iterator[str]:
        """The rectangle and its texts."""
        yield (
            f'<rect class="{self.kind}" x="{self.left}" y="{self.top}"'
            f' width="{self.width}" height="{self.height}" rx="6"/>'
        )
        middle = self.left + self.width // 2
        first = self.top + (self.height - len(self.texts) * LINE) // 2 + SIZE
        for number, (style, line) in enumerate(self.texts):
            y = first + number * LINE
            yield _text(middle, y, line, style)


def draw(params: dict[str, Any]) -> str:
    """The drawing as SVG."""
    grid = GRID | params.get("grid", {})
    boxes = {name: Box(value, grid) for name, value in params["boxes"].items()}
    width = max(box.right for box in boxes.values()) + MARGIN
    height = max(box.bottom for box in boxes.values()) + MARGIN
    lines = [part for box in boxes.values() for part in box.draw()]
    for arrow in params.get("arrows", ()):
        start, end = boxes[arrow["from"]], boxes[arrow["to"]]
        lines += _arrow(start, end, arrow, grid)
    title = escape(" ".join(params["title"].split()))
    body = "\n  ".join(lines)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
  <title>{title}</title>
  <style>{STYLE}  </style>
  <rect class="card" width="{width}" height="{height}" rx="8"/>
  {body}
</svg>
"""


def _arrow(
    start: Box, end: Box, arrow: dict[str, Any], grid: dict[str, int]
) -> Iterator[str]:
    across = _overlap(start.top, start.bottom, end.top, end.bottom)
    down = _overlap(start.left, start.right, end.left, end.right)
    if across is not None:
        points = _level(start.left, start.right, end.left, end.right, across)
    elif down is not None:
        level = _level(start.top, start.bottom, end.top, end.bottom, down)
        points = [(x, y) for y, x in level]
    else:
        right = end.left > start.right
        x = start.right if right else start.left
        last = end.left if right else end.right
        turn = last - grid["gap"] // 2 if right else last + grid["gap"] // 2
        one, other = start.top + start.height // 2, end.top + end.height // 2
        points = [(x, one), (turn, one), (turn, other), (last, other)]
    yield from _line(points, arrow)
    if text := arrow.get("text"):
        (x1, y1), (x2, y2) = points[-2:]
        wide = abs(x2 - x1) if y1 == y2 else grid["gap"] + grid["width"] // 2
        parts = textwrap.wrap(text, max(int((wide - 12) / CHARACTER["label"]), 6))
        x, y = (x1 + x2) // 2, (y1 + y2) // 2
        if y1 == y2:
            top, anchor = y - 6 - (len(parts) - 1) * LINE, "middle"
        else:
            top, anchor = y + 4 - (len(parts) - 1) * LINE // 2, "start"
            x += 8
        for number, part in enumerate(parts):
            yield _text(x, top + number * LINE, part, "label behind", anchor)


def _line(points: list[tuple[int, int]], arrow: dict[str, Any]) -> Iterator[str]:
    dashes = ' stroke-dasharray="5 4"' if arrow.get("dashed") else ""
    path = " ".join(f"{x},{y}" for x, y in points)
    yield f'<polyline class="line" points="{path}"{dashes}/>'
    yield _head(points[-2], points[-1])
    if arrow.get("both"):
        yield _head(points[1], points[0])


def _head(before: tuple[int, int], tip: tuple[int, int]) -> str:
    (x1, y1), (x, y) = before, tip
    if y1 == y:
        back = x - 8 if x > x1 else x + 8
        corners = f"{x},{y} {back},{y - 4} {back},{y + 4}"
    else:
        back = y - 8 if y > y1 else y + 8
        corners = f"{x},{y} {x - 4},{back} {x + 4},{back}"
    return f'<polygon class="head" points="{corners}"/>'


def _level(
    first: int, second: int, third: int, fourth: int, at: int
) -> list[tuple[int, int]]:
    """From the edge of one extent to the nearer edge of the other."""
    if third >= second:
        return [(second, at), (third, at)]
    return [(first, at), (fourth, at)]


def _overlap(first: int, second: int, third: int, fourth: int) -> int | None:
    low, high = max(first, third), min(second, fourth)
    return (low + high) // 2 if low < high else None


def _text(x: int, y: int, text: str, style: str, anchor: str = "middle") -> str:
    return (
        f'<text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def main() -> int:
    """Write or check the drawings, as the first argument says."""
    outdated = []
    for source in sorted(FOLDER.glob("*.yaml")):
        picture = source.with_suffix(".svg")
        drawn = draw(yaml.safe_load(source.read_text("utf-8")))
        if sys.argv[1:] == ["write"]:
            picture.write_text(drawn, "utf-8")
        elif not picture.exists() or picture.read_text("utf-8") != drawn:
            outdated.append(picture.name)
    for name in outdated:
        sys.stderr.write(f"{name} is not as drawn: run .ci/diagrams.py write\n")
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
