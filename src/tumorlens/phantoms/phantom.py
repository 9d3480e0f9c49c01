"""Phantoms: synthetic slices of brain MRI with simulated lesions of known class, outline, patient and series.

They feed the demo, the tests and load of any size, and stand for no patient. Never report a score on them as if
it spoke about patients: the lesions are simpler, and simpler to tell apart, than real ones.

    for phantom in make_phantoms(8):
        phantom.scan, phantom.label, phantom.outline

A phantom is the MNI152 average brain (see `head`), turned, stretched and warped for each patient, with a
lesion grown in three dimensions (see `lesion`), cut and exposed as a scanner would (see `slice`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tumorlens.classes import BRAIN_TUMORS
from tumorlens.errors import ConfigError
from tumorlens.explain.region import enclosed_area
from tumorlens.outline import Outline
from tumorlens.phantoms.head import head
from tumorlens.phantoms.lesion import Lesion, grow
from tumorlens.phantoms.slice import NORMAL, PLANES, Anatomy, Scanner, cut, expose
from tumorlens.phantoms.tissue import CONTRASTS
from tumorlens.picture import to_picture
from tumorlens.scan import Orientation, Scan
from tumorlens.sequence import SeriesInfo, name_sequence

ORIENTATIONS: dict[str, Orientation] = {
    "axial": (1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
}
"""How pictures lie in the patient: the patient's right is on the left of axial and coronal ones, the front on top or on
the left."""

_SMALLEST = 140.0  # mm²: a slice that shows less of its tumour is moved towards the tumour's middle
_POINTS = 60  # at most this many corners per outline


@dataclass(frozen=True, eq=False)
class Phantom:
    """One synthetic slice.

    Attributes:
        scan: The slice: (size, size) float32 in [0, 1], with spacing in mm, patient and series, and a source that
            begins with "synthetic/"; with what other sequences show there, if they were asked for.
        outline: The tumour's outline; None exactly if the class is the one where nothing is found.
        contrast: "t1", "t1c" (T1 after contrast agent), "t2" or "flair"; of several, the first.
        position: Where the slice crosses the patient's axis, in mm: to the top for axial, to the front for coronal,
            to the patient's right for sagittal slices.
    """

    scan: Scan
    label: str
    outline: Outline | None
    plane: str
    contrast: str
    position: float


def make_phantoms(
    count: int,
    *,
    size: int = 128,
    seed: int = 0,
    slices_per_series: int = 4,
    labels: Sequence[str] | None = None,
    sequences: Sequence[str] = (),
) -> Iterator[Phantom]:
    """Makes slices, the classes in turn, so that any prefix is balanced to within one slice.

    Phantom i of a seed is the same for every count. Its anatomy, lesion and place are the same for every size.

    Pictures are of `size` by `size` pixels, at least 32; another seed, other patients. Patients have one or two series
    of `slices_per_series` neighbouring slices. `labels` are keys of `BRAIN_TUMORS`; None makes all of them. `sequences`
    of `CONTRASTS` are drawn of every slice, as `Scan.sequences`; without any, each series has a contrast of its own.

    Raises:
        ConfigError: If a setting is out of range, or a label unknown.
        MissingExtra: If nilearn is not installed.
    """
    kinds = _check(count, size, slices_per_series, labels, sequences)
    options = {"size": size, "seed": seed, "slices_per_series": slices_per_series}
    drawn = tuple(sequences)

    def in_turn() -> Iterator[Phantom]:
        for first in itertools.count(0, len(kinds)):
            patients = (make_patient(first + k, labels=kinds, sequences=drawn, **options) for k in range(len(kinds)))
            yield from itertools.chain.from_iterable(zip(*patients, strict=True))

    return itertools.islice(in_turn(), count)


def make_patient(
    number: int,
    *,
    size: int = 128,
    seed: int = 0,
    slices_per_series: int = 4,
    labels: Sequence[str] | None = None,
    sequences: Sequence[str] = (),
) -> Iterator[Phantom]:
    """Makes the slices of one patient; workers share a data set by sharing its patients' numbers.

    The class is the one at `number % len(labels)`. Other arguments are those of `make_phantoms`.

    Yields:
        The slices of its one or two series, each in another plane, through the lesion; without a lesion, through a
        place where one might be.

    Raises:
        ConfigError: If a setting is out of range, or a label unknown.
        MissingExtra: If nilearn is not installed.
    """
    kinds = _check(number, size, slices_per_series, labels, sequences)
    patient = _Patient(number, seed, kinds[number % len(kinds)])
    rng = np.random.default_rng([seed, number, 1])
    # Axial pictures are the commonest. The first plane is drawn so, the second is one of the others.
    planes = rng.choice(PLANES, 3, replace=False, p=[0.46, 0.27, 0.27])
    # One or two series, the same for all classes of a round, so that classes stay balanced.
    for plane in planes[: 1 + number // len(kinds) % 2]:
        yield from patient.series(str(plane), size, slices_per_series, sequences)


def make_study(
    number: int = 0,
    *,
    label: str = "glioma",
    plane: str = "axial",
    contrast: str = "t1c",
    size: int = 128,
    slices: int = 32,
    seed: int = 0,
) -> list[Phantom]:
    """Makes a whole series: parallel slices at equal distances over the head, one of them through the lesion.

    `number` is the patient's, from 0, and `label` its class, a key of `BRAIN_TUMORS`. Pictures are of `size` by `size`
    pixels, at least 32; there are at least 2 slices.

    Returns:
        The slices in the order of their `position`. Those that do not cross the tumour are labelled as what they
        show, nothing, and have no outline.

    Raises:
        ConfigError: If a setting is out of range, or a label, plane or contrast unknown.
        MissingExtra: If nilearn is not installed.
    """
    _check(number, size, slices - 1, [label])
    if plane not in PLANES or contrast not in CONTRASTS:
        raise ConfigError(f"no {plane!r} plane or no {contrast!r} contrast; choose of {PLANES} and {CONTRASTS}")
    return _Patient(number, seed, label).study(plane, contrast, size, slices)


def _check(
    count: int, size: int, slices: int, labels: Sequence[str] | None, sequences: Sequence[str] = ()
) -> tuple[str, ...]:
    if count < 0 or size < 32 or slices < 1:
        raise ConfigError("phantoms need a count or number of at least 0, a size of at least 32, and some slices")
    kinds = BRAIN_TUMORS.keys if labels is None else tuple(labels)
    if not kinds or not set(kinds) <= set(BRAIN_TUMORS.keys):
        raise ConfigError(f"phantoms have labels of {', '.join(BRAIN_TUMORS.keys)}, not {kinds}")
    if not set(sequences) <= set(CONTRASTS) or len(set(sequences)) < len(sequences):
        raise ConfigError(f"phantoms have sequences of {', '.join(CONTRASTS)}, each once, not {', '.join(sequences)}")
    return kinds


_NOTHING = next(c.key for c in BRAIN_TUMORS if c.nothing)
# Between these places, in the common head, a study shows brain or skull, mm.
_EXTENT = {"axial": (-60.0, 84.0), "coronal": (-108.0, 84.0), "sagittal": (-70.0, 70.0)}


class _Patient:
    """One synthetic patient: anatomy and lesion, ready to be cut."""

    def __init__(self, number: int, seed: int, label: str) -> None:
        self.seeds = [seed, number]
        self.name = f"phantom-{seed}-{number:06d}"
        self.label = label
        rng = np.random.default_rng([*self.seeds, 0])
        self.head = head()
        self.anatomy = Anatomy(rng)
        tumours = [c.key for c in BRAIN_TUMORS if not c.nothing]
        # Who has no tumour is cut where somebody might have one, so that the place does not give the class away.
        kind = str(rng.choice(tumours))
        grown = grow(kind if label == _NOTHING else label, self.head, rng)
        self.lesion: Lesion | None = None if label == _NOTHING else grown
        self.place = self.anatomy.from_head(grown.centre)
        self.radius = float(grown.balls[0, 3])

    def series(self, plane: str, size: int, slices: int, sequences: Sequence[str] = ()) -> Iterator[Phantom]:
        """Neighbouring slices through the lesion, or through the place where one might be."""
        rng = np.random.default_rng([*self.seeds, 2, PLANES.index(plane)])
        contrast = str(rng.choice(CONTRASTS, p=[0.1, 0.7, 0.1, 0.1]))
        scanner = Scanner.draw(plane, sequences[0] if sequences else contrast, rng)
        gap = rng.uniform(3, 6)
        room = 1.5 * np.sqrt(max(self.radius**2 - _SMALLEST / np.pi, 1)) / max(slices - 1, 1)
        offsets = (np.arange(slices) - (slices - 1) / 2) * min(gap, room) + rng.uniform(-1, 1)
        for i, offset in enumerate(offsets):
            phantom = self._slice(scanner, i, float(offset), size)
            yield self._in_sequences(phantom, scanner, i, sequences[1:]) if sequences else phantom

    def _in_sequences(self, phantom: Phantom, scanner: Scanner, index: int, others: Sequence[str]) -> Phantom:
        """A slice with what other sequences show there. What moves between two of them is noise alone."""
        shown, size = {scanner.contrast: phantom.scan.grey}, phantom.scan.height
        for contrast in others:
            place = [PLANES.index(scanner.plane), CONTRASTS.index(contrast)]
            other = scanner.also(contrast, np.random.default_rng([*self.seeds, 5, *place]))
            image, _ = cut(self.head, self.anatomy, self.lesion, other, phantom.position, size)
            shown[contrast] = expose(image, other, np.random.default_rng([*self.seeds, 6, *place, index]))
        return replace(phantom, scan=replace(phantom.scan, sequences=shown))

    def study(self, plane: str, contrast: str, size: int, slices: int) -> list[Phantom]:
        """Slices over the whole head."""
        scanner = Scanner.draw(plane, contrast, np.random.default_rng([*self.seeds, 3, PLANES.index(plane)]))
        across = np.eye(3)[NORMAL[plane]]
        middle_of_head = np.array([0, -15, 10]) * (1 - across)
        start, end = (float(across @ self.anatomy.from_head(middle_of_head + across * e)) for e in _EXTENT[plane])
        step = (end - start) / (slices - 1)
        middle = float(self.place[NORMAL[plane]])
        shift = (middle - start) % step
        positions = start + shift + step * np.arange(-1 if shift > step / 2 else 0, slices)[:slices]
        return [
            self._phantom(
                scanner, i, float(position), *cut(self.head, self.anatomy, self.lesion, scanner, position, size)
            )
            for i, position in enumerate(positions)
        ]

    def _slice(self, scanner: Scanner, index: int, offset: float, size: int) -> Phantom:
        """One slice that shows the lesion, moved towards its middle as far as that takes."""
        middle = float(self.place[NORMAL[scanner.plane]])
        pixel = (scanner.field_of_view / size) ** 2
        for shrink in (1, 0.7, 0.45, 0.2, 0):
            position = middle + shrink * offset
            image, share = cut(self.head, self.anatomy, self.lesion, scanner, position, size)
            if self.lesion is None or np.count_nonzero(share > 0.5) * pixel >= _SMALLEST:
                break
        return self._phantom(scanner, index, position, image, share)

    def _phantom(
        self, scanner: Scanner, index: int, position: float, image: NDArray[np.float32], share: NDArray[np.float32]
    ) -> Phantom:
        size = len(image)
        outline = _outline(share)
        rng = np.random.default_rng([*self.seeds, 4, PLANES.index(scanner.plane), index])
        series = f"{self.name}-{scanner.plane}"
        scan = Scan(
            pixels=expose(image, scanner, rng),
            source=f"synthetic/{series}-{index:03d}",
            frame=0,
            spacing=(scanner.field_of_view / size,) * 2,
            patient=self.name,
            series=series,
            modality="MR",
            depth=position,
            orientation=ORIENTATIONS[scanner.plane],
            study=self.name,
            info=SeriesInfo(
                description=f"{scanner.contrast} {scanner.plane}, synthetic", sequence=name_sequence(scanner.contrast)
            ),
        )
        label = self.label if outline is not None else _NOTHING
        return Phantom(scan, label, outline, scanner.plane, scanner.contrast, position)


def _outline(share: NDArray[np.float32]) -> Outline | None:
    """The largest contour at one half, as a polygon; None if nothing reaches one half over a few pixels."""
    if np.count_nonzero(share > 0.5) < 4:
        return None
    rows, columns = np.flatnonzero(share.any(1)), np.flatnonzero(share.any(0))
    top, left = rows[0], columns[0]
    part = np.pad(share[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    lines = contour_generator(z=part).lines(0.5)
    line: NDArray[np.float64] = np.asarray(max(lines, key=lambda points: enclosed_area(np.asarray(points))))
    if len(line) > _POINTS:
        # Evenly along the contour.
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        even = np.linspace(0, length[-1], _POINTS, endpoint=False)
        line = np.column_stack([np.interp(even, length, line[:, k]) for k in (0, 1)])
    points = (line + np.array([left - 0.5, top - 0.5])) / [share.shape[1], share.shape[0]]
    return Outline(points.clip(0, 1))


def contact_sheet(phantoms: Iterable[Phantom], columns: int = 8, outlines: bool = True) -> Image.Image:
    """Lays phantoms out on one picture that says "synthetic".

    All phantoms are of one size. The picture has a line of heading, then rows of `columns` pictures, each with its
    class and contrast below it, and with the tumour's outline if `outlines`.

    Raises:
        ConfigError: If there are no phantoms, or no columns.
    """
    items = list(phantoms)
    if not items or columns < 1:
        raise ConfigError("a contact sheet needs at least one phantom and one column")
    edge, gap, line = items[0].scan.width, 4, 14
    columns = min(columns, len(items))
    rows = -(-len(items) // columns)
    sheet = Image.new("RGB", (columns * (edge + gap) + gap, rows * (edge + line + gap) + line + 2 * gap), (18, 18, 18))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    draw.text((gap, gap), "synthetic: TumorLens phantoms, no patients", fill=(240, 240, 240), font=font)
    for i, phantom in enumerate(items):
        left, top = gap + i % columns * (edge + gap), line + 2 * gap + i // columns * (edge + line + gap)
        sheet.paste(to_picture(phantom.scan.rgb), (left, top))
        caption = f"{BRAIN_TUMORS[BRAIN_TUMORS.keys.index(phantom.label)].name}, {phantom.contrast}"
        draw.text((left, top + edge + 1), caption, fill=(200, 200, 200), font=font)
        if outlines and phantom.outline is not None:
            corners = phantom.outline.points * edge + np.array([left - 0.5, top - 0.5])
            draw.line([tuple(p) for p in [*corners, corners[0]]], fill=(255, 190, 0))
    return sheet
