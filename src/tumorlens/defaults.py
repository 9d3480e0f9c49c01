"""What every surface takes unless told otherwise."""

DEFAULT_WEIGHTS = "cnn_lstm_efficientnet"
"""Name of the weights; docs/benchmarks.md says why these."""
