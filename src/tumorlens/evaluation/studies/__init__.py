"""Whole studies with tumour masks: what a classifier says of their slices, and of each study."""
