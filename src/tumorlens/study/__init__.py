"""A study: its series and stacks, and what their slices say together."""

from tumorlens.study.finding import SliceFinding, StudyFinding, find_in_studies, find_in_study
from tumorlens.study.reading import Series, Study, read_study

__all__ = [
    "Series",
    "SliceFinding",
    "Study",
    "StudyFinding",
    "find_in_studies",
    "find_in_study",
    "read_study",
]
