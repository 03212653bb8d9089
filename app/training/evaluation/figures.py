"""Figures that are drawn without a display."""

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.use("Agg")  # a job has no display


def create_figure(title: str) -> tuple[Figure, mpl.axes.Axes]:
    """Create a figure without pyplot, whose global state would keep the figure in memory."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes
