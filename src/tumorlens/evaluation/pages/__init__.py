"""What the pages of all reports share: templates, plots, galleries."""
