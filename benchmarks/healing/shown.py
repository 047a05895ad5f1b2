"""The comparison as a table to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table as Rows

from benchmarks.healing.cells import TRAININGS_ONLY, Cell
from benchmarks.healing.comparison import told

FIGURES: Final = ("rho", "ours", "trainings", "swaps", TRAININGS_ONLY, "ours_own_loss")
BEST: Final = ("best_fixed", "best_alarm")
LAST: Final = ("always_learning", "optimum")


def show(cells: Sequence[Cell]) -> None:
    """Costs as shares of never training; beside the best schedule and alarm of each cell, known afterwards, what they cost."""
    rows = Rows(title="cost / cost of never training", title_justify="left")
    rows.add_column("stream")
    for column in (*FIGURES, *BEST, *LAST):
        rows.add_column(column, justify="right")
    for cell in cells:
        figures = told(cell)
        name = f"{cell.stream} {cell.copy}" if cell.copy else cell.stream
        best = [f"{figures[column]} {figures[f'{column}_cost']:.3f}" for column in BEST]
        texts = [[_text(figures[column]) for column in columns] for columns in (FIGURES, LAST)]
        rows.add_row(name, *texts[0], *best, *texts[1])
    Console(width=170).print(rows)


def _text(figure: float | str) -> str:
    return f"{figure:.3f}" if isinstance(figure, float) else str(figure)
