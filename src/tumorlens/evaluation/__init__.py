"""What a network is worth: scores, plots, reports, and whether its heat maps and probabilities hold."""
