"""Synthetic brain MRI with simulated lesions: slices, studies, data sets."""

from pathlib import Path

EXAMPLE = Path(__file__).with_name("example.png")
"""A synthetic slice with a simulated glioma, drawn beforehand, for where phantoms cannot be made."""
