"""From a table of predictions to figures with intervals, plots and one self-contained report."""
