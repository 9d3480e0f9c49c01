"""A study as its files have it: series, and in them stacks of slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath

from tumorlens.errors import NotOneStudy, UnreadableFile
from tumorlens.formats import Axis, Failure, Paths, iter_scans
from tumorlens.place import SlicePlace
from tumorlens.scan import Scan
from tumorlens.sequence import SeriesInfo
from tumorlens.showing import html_table
from tumorlens.study.finding import common_source
from tumorlens.study.stacks import Stack, stacks_of


@dataclass(frozen=True, eq=False)
class Series:
    """A series of images: what its files say, and its stacks of parallel slices.

    Attributes:
        info: Number, description and sequence.
        stacks: One, as a rule; a localiser has one for each plane.
    """

    info: SeriesInfo
    stacks: tuple[Stack[Scan], ...]

    def __repr__(self) -> str:
        return f"<Series {self}>"

    def __str__(self) -> str:
        """Its number, description, sequence and stacks in a line."""
        number = "" if self.info.number is None else f"{self.info.number} "
        kind = self.info.flaw or self.info.sequence or "unknown sequence"
        return f"{number}{self.info.description!r}, {kind}: {', '.join(map(str, self.stacks))}"


@dataclass(frozen=True, eq=False)
class Study:
    """One patient's images of one examination, or one volume.

        study = read_study("study/")
        for series in study.series:
            print(series)

    Attributes:
        source: The folder or file.
        series: In the order of their numbers.
        failures: Files that could not be read, or not wholly.
    """

    source: str
    series: tuple[Series, ...]
    failures: tuple[Failure, ...] = ()

    @classmethod
    def of(cls, scans: Sequence[Scan], source: str | None = None, failures: Sequence[Failure] = ()) -> Study:
        """The study that scans make, in any order; its source is by default the folder or file they have in common.

        Raises:
            ValueError: If there are none.
            NotOneStudy: If they are DICOM images of several studies.
        """
        if not scans:
            raise ValueError("a study needs at least one scan")
        source = common_source(scan.source for scan in scans) if source is None else source
        if len({scan.study for scan in scans if scan.instance}) > 1:
            raise NotOneStudy(source, "its files are of several studies", "give one study at a time")
        series: dict[str, list[Stack[Scan]]] = {}
        for stack in stacks_of(scans, SlicePlace.of):
            first = stack.slices[0]
            series.setdefault(first.series or first.source, []).append(stack)
        members = [Series(stacks[0].info, tuple(stacks)) for stacks in series.values()]
        members.sort(key=lambda s: (s.info.number is None, s.info.number or 0))
        return cls(source, tuple(members), tuple(failures))

    def __repr__(self) -> str:
        return f"<Study {self.source!r}: {len(self.series)} series, {len(self.scans)} slices>"

    def _repr_html_(self) -> str:
        pairs = ((series.info, stack) for series in self.series for stack in series.stacks)
        rows = (
            (info.number, info.description, info.flaw or info.sequence, stack.plane, len(stack.slices), _short(stack))
            for info, stack in pairs
        )
        return html_table(("series", "description", "sequence", "plane", "slices", "mm apart"), rows)

    @property
    def scans(self) -> tuple[Scan, ...]:
        """Every slice, series by series."""
        return tuple(scan for series in self.series for stack in series.stacks for scan in stack.slices)


def read_study(paths: Paths, *, axis: Axis = "axial") -> Study:
    """Reads a study: the DICOM files of one, a volume, several volumes of one patient, or pictures.

    All slices are held in memory. Files that cannot be read are in `Study.failures`, and the others go on.

    Args:
        paths: A file or folder, or several.
        axis: The plane that NIfTI volumes are cut in: "axial", "coronal" or "sagittal".

    Raises:
        NotOneStudy: If there are DICOM files of several studies.
        InputError: If no slice can be read.
        ConfigError: If the axis is unknown.
    """
    items = list(iter_scans(paths, axis=axis))
    scans = [item for item in items if isinstance(item, Scan)]
    failures = [item for item in items if isinstance(item, Failure)]
    if not scans:
        problem, _, remedy = failures[0].error.partition("; ")
        raise UnreadableFile(failures[0].source, problem, remedy)
    return Study.of(scans, fspath(paths) if isinstance(paths, str | PathLike) else None, failures)


def _short(stack: Stack[Scan]) -> str:
    return "" if stack.spacing is None else f"{stack.spacing:.3g}"
