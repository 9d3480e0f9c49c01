"""What every surface takes unless told otherwise."""

DEFAULT_WEIGHTS = "cnn_lstm_attention_128"
"""Name of the weights; docs/benchmarks.md says why these."""
