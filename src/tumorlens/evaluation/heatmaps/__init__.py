"""How well heat maps meet outlines, and whether they are faithful to the network."""
