"""The look of every figure: print sizes, fonts, colours that colour-blind readers can tell apart, and saving.

Colours are those of Okabe and Ito (2008, "Color universal design"); where several lines share axes, each also has its
own dash pattern and marker, so that a figure survives a grey printer. A name always gets the same look, whichever
others are drawn beside it, as long as it is among the known ones.

    with paper():
        figure, axes = subplots(1, 2, width="double", height=2.2)
        axes[0, 0].plot(x, y, **look("shac").line)
        save(figure, Path("figure"), ("png", "svg", "pdf"))
"""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pwm_bench.analysis.naming import look_of_algorithm
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.files import replacing

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "GREY", "PAGE_HEIGHT", "PALETTE", "WIDTHS", "Look", "Width", "count_axis", "look", "looks",
           "number_axis", "paper", "power_axis", "save", "subplots", "time_axis"]  # fmt: skip

Width = Literal["single", "double"]
WIDTHS: dict[str, float] = {"single": 3.5, "double": 7.0}
"""Widths of one and two columns of a page [inches]."""
PAGE_HEIGHT = 8.6
"""Height of a page that panels may fill; title and legend come on top [inches]."""
FORMATS = ("png", "svg", "pdf")

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK = PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
"""Okabe and Ito's colours but for their yellow, which cannot be read on white."""
GREY = "#666666"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
_RAISED = str.maketrans("0123456789-\u2212", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True, slots=True)
class Look:
    """How one named thing is drawn everywhere."""

    colour: str
    dash: Any
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments of `Axes.plot` for its curve."""
        return {"color": self.colour, "linestyle": self.dash}

    @property
    def band(self) -> dict[str, Any]:
        """Keyword arguments of `Axes.fill_between` for its interval."""
        return {"color": self.colour, "alpha": 0.17, "linewidth": 0}


def look(name: str, *, index: int = 0) -> Look:
    """The look of a name.

    Args:
        name: an algorithm, or a label that begins with one, such as ``"shac (gamma=0.9)"``.
        index: which look an unknown name takes; `looks` counts for you.
    """
    place = look_of_algorithm(name)
    return _look(index if place is None else place)


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each name, no two alike while there are enough: known names keep theirs, others take free ones. Of
    several variants of an algorithm the first, or the one that no setting sets apart, has its look; the others have a
    shade of its colour with dashes and a marker of their own."""
    found: dict[str, Look] = {}
    taken: Counter[int] = Counter()
    for name in sorted(names, key=lambda name: " (" in name):
        place = look_of_algorithm(name)
        if place is not None:
            found[name] = _look(place, taken[place])
            taken[place] += 1
    free = (place for place in range(len(names) + len(taken)) if place not in taken)
    for name in names:
        if name not in found:
            found[name] = _look(next(free))
    return {name: found[name] for name in names}


def _look(place: int, variant: int = 0) -> Look:
    """Dash patterns step on after every round of colours, so 35 looks differ, and with every variant of one."""
    return Look(
        _shade(PALETTE[place % len(PALETTE)], variant),
        _DASHES[(place + place // len(PALETTE) + variant) % len(_DASHES)],
        _MARKERS[(place + variant) % len(_MARKERS)],
    )


def _shade(colour: str, number: int) -> str:
    """A colour itself, then by turns lighter and darker ones of its hue; of black, greys."""
    if number == 0:
        return colour
    towards = 255 if number % 2 or colour == BLACK else 0
    part = 0.45 if number <= 2 else 0.65
    part = 0.25 + 0.15 * (number % 4) if colour == BLACK else part
    return "#" + "".join(f"{round(int(colour[i : i + 2], 16) * (1 - part) + towards * part):02X}" for i in (1, 3, 5))


_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "figure.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#444444",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # TrueType: publishers refuse matplotlib's default, Type 3
    "svg.fonttype": "path",  # looks the same on machines without the font
    "text.parse_math": False,  # a name with dollar signs is a name
    "svg.hashsalt": "pwm-bench",  # the same figure is the same file
}


@contextlib.contextmanager
def paper() -> Iterator[None]:
    """Draws with the settings above; matplotlib's own are as before afterwards.

    Raises:
        UsageError: matplotlib is not installed.
    """
    matplotlib = _matplotlib()
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [name for name in _SETTINGS["font.sans-serif"] if name in installed] or ["DejaVu Sans"]
    with matplotlib.rc_context({**_SETTINGS, "font.sans-serif": fonts}):
        yield


def subplots(
    rows: int = 1, columns: int = 1, *, width: Width | float = "single", height: float = 2.3, **options: Any
) -> tuple[Figure, np.ndarray[Any, Any]]:
    """An empty figure that belongs to no window system, and its axes.

    Args:
        rows: of axes.
        columns: of axes.
        width: one or two columns of a page, or inches.
        height: of a row of axes [inches].
        options: further arguments of `Figure.subplots`, such as ``sharey=True``.

    Returns:
        The figure and its axes, shape ``(rows, columns)``.
    """
    _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if isinstance(width, str) and width not in WIDTHS:
        raise unknown("width", width, WIDTHS)
    inches = WIDTHS[width] if isinstance(width, str) else width
    figure = Figure(figsize=(inches, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def save(figure: Figure, path: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Writes a figure in each format, without the date, so that the same figure gives the same bytes.

    Args:
        figure: call within `paper`, as fonts are looked up on saving.
        path: without suffix; its folder is made if need be.
        formats: of `FORMATS`.

    Returns:
        The files written.

    Raises:
        UsageError: unknown format, or the folder cannot be written.
    """
    undated: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    files = []
    for format in formats:
        if format not in undated:
            raise unknown("figure format", format, FORMATS)
        file = path.with_name(f"{path.name}.{format}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as temporary:  # a full disk leaves no figure that is cut short
                figure.savefig(temporary, format=format, metadata=undated[format])
        except OSError as error:
            raise UsageError(f"{file}: cannot be written ({error.strerror}); choose another folder") from None
        files.append(file)
    return files


def count_axis(axis: Any) -> None:
    """Labels an axis with ``0``, ``50k``, ``1.5M`` rather than with a power of ten in a corner."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    from pwm_bench.text import count

    axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))


def number_axis(axis: Any, ticks: int = 5) -> None:
    """Labels an axis with few ticks, thousands set apart: ``1,500``."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 10):,.10g}".replace("-", "\u2212")))


def power_axis(axis: Any) -> None:
    """Labels a logarithmic axis with powers as plain text, ``10⁻³``: nothing is set as mathematics, see `paper`."""
    from matplotlib.ticker import Formatter

    class Plain(Formatter):  # type: ignore[misc]  # matplotlib is imported when something is drawn
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def set_axis(self, axis: Any) -> None:
            super().set_axis(axis)
            self.inner.set_axis(axis)

        def set_locs(self, locs: Any) -> None:
            self.inner.set_locs(locs)

        def __call__(self, value: float, place: int | None = None) -> str:
            return _without_mathematics(self.inner(value, place))

    axis.set_major_formatter(Plain(axis.get_major_formatter()))
    axis.set_minor_formatter(Plain(axis.get_minor_formatter()))


def _without_mathematics(label: str) -> str:
    """Matplotlib's own label of a tick, ``$\\mathdefault{2\\times10^{-3}}$``, as ``2×10⁻³``."""
    content = label.removeprefix(r"$\mathdefault{").removesuffix("}$").replace(r"\times", "×")
    return re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(_RAISED), content)


def time_axis(axes: Axes, seconds: float, *, which: Literal["x", "y"] = "x") -> tuple[float, str]:
    """Chooses the unit of a time axis.

    Args:
        axes: get a locator with few ticks.
        seconds: the longest time shown [s].
        which: the axis.

    Returns:
        What to divide seconds by, and the unit's name.
    """
    from matplotlib.ticker import MaxNLocator

    (axes.xaxis if which == "x" else axes.yaxis).set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    if not math.isfinite(seconds) or seconds < 120:
        return 1.0, "s"
    return (60.0, "min") if seconds < 3 * 3600 else (3600.0, "h")


def _matplotlib() -> Any:
    import matplotlib

    return matplotlib
