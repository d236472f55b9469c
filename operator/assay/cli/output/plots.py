"""Line plots: as text in a terminal, or as PNG, SVG, PDF or HTML in a file. Knows nothing about runs."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.errors import CliError
from assay.cli.output.printing import number
from assay.queries.curves.shapes import thinned

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes as MplAxes
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]

MARKS = "abcdefghijklmnopqrstuvwxyz"
COLOURS = ("cyan", "yellow", "green", "red")
#: The suffixes of the supported file formats.
FILES = (".png", ".svg", ".pdf", ".html")
#: matplotlib cannot make a PNG with 65,536 or more rows.
_MAX_PIXELS = 65_535
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 14px sans-serif; margin: 2em; }} svg {{ max-width: 100%; height: auto; }}
td, th {{ padding: .2em 1em .2em 0; text-align: left; }}
</style></head><body>
<h1>{title}</h1>
{picture}
<table>
{rows}
</table>
</body></html>
"""


@dataclass(frozen=True)
class Line:
    """One line and its label. The arrays have the same length and finite values, positive ones on logarithmic axes."""

    label: str
    x: Floats
    y: Floats


@dataclass(frozen=True)
class Axes:
    """The labels of the axes, and which of them are logarithmic."""

    x: str
    y: str
    log_x: bool = False
    log_y: bool = False


def as_text(lines: Sequence[Line], axes: Axes, width: int, height: int, *, coloured: bool) -> str:
    """Return the lines as text that fits a terminal. Without colours each line is drawn with a letter of its own."""
    import plotext

    lines = [line for line in lines if len(line.x)]
    if not lines:
        return ""
    figure = plotext.figure
    figure.clear.all()
    figure.plot_size(width, height)
    figure.theme("colorless")
    for at, line in enumerate(lines):
        visible = thinned(line.x, line.y, 2 * width, log=axes.log_x)
        plain = len(lines) == 1 or (coloured and len(lines) <= len(COLOURS))
        symbol = "braille" if plain else MARKS[at % len(MARKS)]
        marker = plotext.marker(symbol, COLOURS[at % len(COLOURS)] if coloured else "default")
        x, y = _scaled(line.x[visible], log=axes.log_x), _scaled(line.y[visible], log=axes.log_y)
        signal = figure.signal(x.tolist(), y.tolist(), marker=marker)
        signal.lines()
        figure.draw(signal)
    for axis, log in (("x", axes.log_x), ("y", axes.log_y)):
        ends = [end for line in lines for end in (getattr(line, axis).min(), getattr(line, axis).max())]
        if places := ticks(float(min(ends)), float(max(ends)), log=log):
            figure.ruler(axis).ticks([_place(each, log=log) for each in places], [number(each) for each in places])
    figure.label(axes.x, "x")
    figure.title(axes.y)
    text: str = figure.build().string(colorless=not coloured)
    return "\n".join(each.rstrip() for each in text.splitlines()).rstrip("\n")


def _scaled(values: Floats, *, log: bool) -> Floats:
    """Return the values to draw. plotext has logarithmic axes too, but draws nothing on them when ticks are set."""
    import numpy

    return numpy.log10(values) if log else values


def _place(value: float, *, log: bool) -> float:
    return math.log10(value) if log else value


def ticks(low: float, high: float, *, log: bool) -> list[float]:
    """Return about five round numbers from ``low`` to ``high``, or powers of ten; [] for an empty or infinite range."""
    if not low < high or not math.isfinite(high - low):
        return []
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factors in ((1,), (1, 2, 5)):
            places = [factor * 10.0**power for power in powers for factor in factors]
            inside = [place for place in places if low <= place <= high]
            if len(inside) > 1:
                return inside[:: max(1, len(inside) // 6)]
        return [low, high]
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
    return [round(at * step, 12) for at in range(math.ceil(low / step), math.floor(high / step) + 1)]


@dataclass(frozen=True)
class Plot:
    """Lines that share their axes."""

    lines: Sequence[Line]
    axes: Axes


def save(plots: Sequence[Plot], file: Path, rows: Iterable[Sequence[str]]) -> None:
    """Draw the plots, one below the other, into a file in the format of its suffix. HTML also has a table of ``rows``.

    Raises OSError, and CliError without matplotlib.
    """
    kind = file.suffix.removeprefix(".")
    if kind != "html":
        file.write_bytes(_picture(plots, kind))
        return
    svg = _picture(plots, "svg").decode()
    title = html.escape(", ".join(plot.axes.y for plot in plots))
    cells = (f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    page = _PAGE.format(title=title, picture=svg[svg.index("<svg") :], rows="\n".join(cells))
    file.write_text(page, encoding="utf-8")


def _picture(plots: Sequence[Plot], kind: str) -> bytes:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CliError(f"cannot draw into a file: {error}", hint="pip install 'assay[plot]'") from None

    # The same curves give the same file, and text in SVG stays searchable.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "assay", "text.parse_math": False}):
        height = 6 if len(plots) == 1 else 4 * len(plots)
        figure = Figure(figsize=(10, height), layout="constrained")
        for plot, drawing in zip(plots, figure.subplots(len(plots), squeeze=False).flat, strict=True):
            _draw(plot, drawing)
        made = io.BytesIO()
        figure.savefig(made, format=kind, dpi=min(150, _MAX_PIXELS // height), metadata=_NO_DATE.get(kind))
    return made.getvalue()


def _draw(plot: Plot, drawing: MplAxes) -> None:
    axes = plot.axes
    for line in (each for each in plot.lines if len(each.x)):
        visible = thinned(line.x, line.y, 2000, log=axes.log_x)
        drawing.plot(line.x[visible], line.y[visible], label=line.label, marker="." if len(visible) == 1 else None)
    drawing.set_xscale("log" if axes.log_x else "linear")
    drawing.set_yscale("log" if axes.log_y else "linear")
    drawing.set_xlabel(axes.x)
    drawing.set_ylabel(axes.y)
    drawing.grid(visible=True, alpha=0.3)
    drawing.legend()


_NO_DATE: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
