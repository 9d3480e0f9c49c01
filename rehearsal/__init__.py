"""A rehearsal without a hospital: studies of phantoms, an analysis that pretends, an archive that remembers, and kills.

The tests and benchmarks of the node use it. `python -m rehearsal node.yaml FOLDER` runs a node whose
analysis pretends: it waits while FOLDER has a file named "hold", and adds a line to FOLDER/analysed for each study.
"""
