"""Ticks and places within axes."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

# Ticks within a decade, for axes that span less than this factor.
_LOG_STEPS = ((15, (1, 1.5, 2, 3, 5, 7)), (300, (1, 2, 5)), (np.inf, (1,)))


def plain_number(value: float, _position: int | None = None) -> str:
    """Write a number without an exponent."""
    return np.format_float_positional(float(f"{value:.10g}"), trim="-")


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Make an axis logarithmic, with plain numbers at its ticks."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log", f"{axis.axis_name}lim": (low, high)})
    steps = next(steps for top, steps in _LOG_STEPS if high / low < top)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(plain_number))
    axis.set_minor_formatter(NullFormatter())


def balance_limits(balances: Iterable[float]) -> tuple[float, float]:
    """Give the ends (%) of a log axis of FLOPs balances: some room, little beyond 100 %."""
    balances = list(balances)
    return 70 * min(balances), min(150 * max(balances), 130)


def spread(values: Sequence[float], gap: float) -> np.ndarray:
    """Move rising values apart, in the least-squares sense as little as gives them the gap."""
    ranks = gap * np.arange(len(values))
    excess = np.asarray(values, float) - ranks
    # Isotonic regression by its max-min formula.
    means = [
        [excess[start:end].mean() if end > start else np.inf for end in range(1, len(values) + 1)]
        for start in range(len(values))
    ]
    fitted = [
        max(min(means[start][index:]) for start in range(index + 1)) for index in range(len(values))
    ]
    return np.array(fitted) + ranks


def place_labels(
    axes: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str], **style
) -> None:
    """Write short texts beside points, none over another one or over a point.

    Parameters
    ----------
    axes
        With its final limits.
    points
        In data coordinates; all are kept free.
    texts
        For the first points.
    **style
        Of the text.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    unit = figure.dpi / 72
    pixels = axes.transData.transform(points)
    taken = [Bbox.from_bounds(x - 3 * unit, y - 3 * unit, 6 * unit, 6 * unit) for x, y in pixels]
    frame = axes.get_window_extent(renderer)
    for point, text in zip(points, texts, strict=False):
        label = axes.annotate(
            text, point, (0, 0), textcoords="offset points", ha="center", va="center", **style
        )
        # Below and left first: that side of a front is free.
        for x, y in _offsets():
            label.set_position((x, y))
            box = label.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(label.get_window_extent(renderer))


def _offsets() -> Iterable[tuple[float, float]]:
    for distance in (8.5, 11, 14, 19, 25):
        for angle in (225, 180, 270, 200, 250, 315, 135, 0, 90, 45):
            radians = np.deg2rad(angle)
            yield distance * np.cos(radians), distance * np.sin(radians)
