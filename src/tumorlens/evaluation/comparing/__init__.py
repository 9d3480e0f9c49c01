"""Compares two tested networks: figures scan by scan, curves over each other, where they disagree."""
