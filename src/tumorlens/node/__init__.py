"""The hospital's node: receives studies, has them analysed, delivers results."""
