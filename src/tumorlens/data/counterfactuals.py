"""Counterfactuals of outlined scans: the same head without its tumour, and the same tumour beside a pasted patch.

A *tumour-free twin* has the outlined tumour replaced by the like place of another patient's slice: of the outlined ones
most alike elsewhere, one whose own tumour lies elsewhere, whose patch is most like the others', and whose seam shows
least; intensities are matched in a band around the seam, whose edge is feathered. A twin shows what a network should
find where nothing is, at the same level of the head and from the same scanner. Nothing else does: where every scan with
a tumour comes from one source and every scan without from others, the source tells them apart.

A *patched control* has a patch pasted in the same way where no tumour is, in the shape of another scan's tumour, so
that pasting itself tells nothing.

Reference: Chang et al., Explaining image classifiers by counterfactual generation, ICLR 2019 (replacing a region by
what could have been there).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tumorlens.errors import needs_extra

_COARSE = 32
"""Least height and width of the thumbnails that slices are compared by."""

_FEATHER, _BAND = 0.03, 0.06
"""Width of the seam's soft edge, and of the band beyond it that intensities are matched in, in pictures."""

_GAIN = (0.7, 1.4)
"""Least and greatest factor between the spreads of the band here and in the donor."""


@dataclass(frozen=True, eq=False)
class Counterfactuals:
    """Changed copies of scans.

    Attributes:
        scan: (M,) index of the scan that each is a copy of, ascending.
        images: (M, S, S) uint8, the copies, in 255ths.
        replaced: (M, S, S) uint8, the share of each pixel that was replaced, in 255ths.
        donor: (M,) index of the scan that the patch came from.
    """

    scan: NDArray[np.intp]
    images: NDArray[np.uint8]
    replaced: NDArray[np.uint8]
    donor: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.scan)


def make_twins(
    images: NDArray[np.float32],
    coverage: NDArray[np.uint8],
    groups: Sequence[str],
    *,
    grow: float | NDArray[np.float64] = 0.03,
    variants: int = 1,
    seed: int = 0,
) -> Counterfactuals:
    """Makes tumour-free twins of all outlined scans that have a donor.

    Args:
        images: (N, S, S) float32 in [0, 1].
        coverage: (N, S, S) uint8, share of each pixel inside the scan's outline, in 255ths; all zero without one.
        groups: N names; a donor is of another group, such as another patient.
        grow: How far beyond the outline to replace, in widths of the picture; one number, or (N,).
        variants: How many twins of each scan, from as many donors where there are.
        seed: Another seed, other donors among those that are alike.
    """
    outlined = np.flatnonzero(coverage.reshape(len(images), -1).any(1))
    reach = np.broadcast_to(np.asarray(grow, float), len(images))
    masks = [(i, i, _Seam.around(coverage[i] > 127, reach[i])) for i in outlined.tolist()]
    return _paste(images, coverage, groups, masks, variants, np.random.default_rng((seed, 0)))


def make_patched(
    images: NDArray[np.float32],
    coverage: NDArray[np.uint8],
    groups: Sequence[str],
    *,
    grow: float = 0.03,
    variants: int = 1,
    seed: int = 0,
) -> Counterfactuals:
    """Makes patched controls: a patch in the shape and place of another scan's tumour, off the scan's own.

    Arguments as in `make_twins`. Every scan gets one for which a shape is found that does not touch its own tumour.
    """
    rng = np.random.default_rng((seed, 1))
    outlined = np.flatnonzero(coverage.reshape(len(images), -1).any(1))
    if not len(outlined):
        return _paste(images, coverage, groups, [], variants, rng)
    small = _thumbnails(coverage.astype(np.float32)) > 0
    brain = _thumbnails(images) > _FAINT
    masks = []
    for i in range(len(images)):
        tried = rng.choice(outlined, 12)
        for flip, other in enumerate(tried.tolist()):
            own, shape = small[i], small[other][:, ::-1] if flip % 2 else small[other]
            # Off the own tumour, and inside of the head.
            if not (own & _widened(shape)).any() and brain[i][shape].all():
                mask = coverage[other] > 127
                masks.append((i, other, _Seam.around(mask[:, ::-1] if flip % 2 else mask, grow)))
                break
    return _paste(images, coverage, groups, masks, variants, rng)


@dataclass(frozen=True, eq=False)
class Transplants:
    """Tumours of some scans, perhaps smaller, in the tumour-free twins of others.

    Attributes:
        tumour: (M,) index of the scan whose tumour it is, ascending.
        host: (M,) number of the twin that it was put into.
        images: (M, S, S) uint8, in 255ths.
        coverage: (M, S, S) uint8, share of each pixel inside the tumour's outline where it lies now, in 255ths.
    """

    tumour: NDArray[np.intp]
    host: NDArray[np.intp]
    images: NDArray[np.uint8]
    coverage: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.tumour)


def make_transplants(
    images: NDArray[np.float32],
    coverage: NDArray[np.uint8],
    groups: Sequence[str],
    twins: Counterfactuals,
    movable: NDArray[np.bool_],
    *,
    variants: int = 1,
    seed: int = 0,
) -> Transplants:
    """Puts tumours into tumour-free twins of other patients, at a third of their size up to all of it.

    Benchmarks hold slices that show a tumour well; in a study most of its slices show little of it. A tumour that could
    lie anywhere goes where a scan like the twin's has one of its kind, so that every level of the head is seen with
    tumours and without. One that is bound to its place, such as a pituitary tumour or a meningioma on its membrane,
    stays there, in the twin of a scan like its own.

    Args:
        images: (N, S, S) float32 in [0, 1].
        coverage: (N, S, S) uint8, share of each pixel inside the scan's outline, in 255ths; all zero without one.
        groups: N names; a tumour goes to another group.
        twins: Tumour-free twins of some of the scans.
        movable: (N,), scans whose tumour could lie elsewhere in the head.
        variants: How many of each tumour.
        seed: Another seed, other hosts, places and sizes.
    """
    rng = np.random.default_rng((seed, 2))
    size = images.shape[1]
    sources = np.flatnonzero(coverage.reshape(len(images), -1).any(1))
    wandering = sources[movable[sources]]
    tumour, into, made, covered = [], [], [], []
    if len(twins) and len(sources):
        faces, healthy = _thumbnails(images), _thumbnails(twins.images.astype(np.float32) / np.float32(255))
        unlike = _distances(healthy, np.ones_like(healthy, bool), faces)
        foreign = np.asarray(groups)[:, None] != np.asarray(groups)[twins.scan]
    for source in sources.tolist() if len(twins) else ():
        hosts = np.flatnonzero(foreign[source])
        if not movable[source] and len(hosts) > _PLACES:
            hosts = hosts[np.argsort(unlike[hosts, source])[:_PLACES]]
        for host in rng.choice(hosts, variants).tolist() if len(hosts) else ():
            place = source
            if movable[source]:
                place = int(rng.choice(wandering[np.argsort(unlike[host, wandering])[:_PLACES]]))
            at = _centre(coverage[place]) + rng.normal(0, _JITTER * size, 2)
            moved = _moved(images[source], coverage[source], at, float(rng.uniform(*_SCALES)))
            if moved is None:
                continue
            picture, mask, known = moved
            shown = _thumbnails(mask[None].astype(np.float32))[0] > 0
            if not (healthy[host][shown] > _FAINT).all():  # not wholly inside of the head
                continue
            seam = _Seam.around(mask > 127, _RIM)
            seam = replace(seam, band=seam.band & known[seam.box])
            tumour.append(source)
            into.append(host)
            made.append(_blend(twins.images[host].astype(np.float32) / 255, picture, seam)[0])
            covered.append(mask)
    stack = (len(made), size, size)
    return Transplants(
        np.array(tumour, np.intp),
        np.array(into, np.intp),
        np.array(made, np.uint8).reshape(stack),
        np.array(covered, np.uint8).reshape(stack),
    )


_SCALES, _PLACES, _JITTER, _RIM = (0.33, 1.0), 30, 0.02, 0.01
"""Least and greatest factor of a transplanted tumour's width; how many like scans lend it their tumour's place, how far
it strays from there, and how much around its outline goes with it, in widths of the picture."""


def _centre(covered: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Row and column of an outline's centre."""
    return np.argwhere(covered > 127).mean(0) if (covered > 127).any() else np.array(covered.shape) / 2


def _moved(
    image: NDArray[np.float32], covered: NDArray[np.uint8], at: NDArray[np.float64], scale: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]] | None:
    """A scan shrunk about its tumour's centre, which goes to `at`: picture, coverage, and where the picture is known.

    None where less than a few pixels of the tumour are left, or it leaves the picture.
    """
    size = image.shape[0]
    row, column = _centre(covered)
    matrix = (1 / scale, 0, column - at[1] / scale, 0, 1 / scale, row - at[0] / scale)
    planes = (image, covered.astype(np.float32), np.ones_like(image))
    picture, mask, known = (
        np.asarray(
            _antialiased(plane, scale).transform(
                (size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
            )
        )
        for plane in planes
    )
    wanted = scale**2 * covered.sum(dtype=np.float64)
    if (mask > 127).sum() < _FEWEST or mask.sum() < 0.9 * wanted:
        return None
    return picture, np.rint(mask).clip(0, 255).astype(np.uint8), known > 0.99


_FEWEST = 6  # pixels


def _antialiased(plane: NDArray[np.float32], scale: float) -> Image.Image:
    """A picture softened as much as shrinking it by `scale` needs."""
    from scipy.ndimage import gaussian_filter

    return Image.fromarray(gaussian_filter(plane, 0.4 * (1 / scale - 1)) if scale < 1 else plane)


_FAINT = 0.04  # a thumbnail's place that is darker lies outside of the head


@dataclass(frozen=True, eq=False)
class _Seam:
    """How a patch is blended: `share` of each pixel that is replaced, and the `band` around it to match; in `box`."""

    share: NDArray[np.float32]
    band: NDArray[np.bool_]
    box: tuple[slice, slice]

    @classmethod
    def around(cls, mask: NDArray[np.bool_], grow: float) -> _Seam:
        with needs_extra("making tumour-free twins", "train"):
            from scipy.ndimage import distance_transform_edt
        size = mask.shape[-1]
        margin = int(np.ceil((grow + _FEATHER + _BAND) * size)) + 1
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        high, wide = (slice(max(0, at[0] - margin), min(size, at[-1] + 1 + margin)) for at in (rows, columns))
        box = high, wide
        distance = distance_transform_edt(~mask[box])
        share = np.clip(1 - (distance - grow * size) / (_FEATHER * size), 0, 1).astype(np.float32)
        band = (share <= 0) & (distance < (grow + _FEATHER + _BAND) * size)
        return cls(share, band, box)


def _paste(
    images: NDArray[np.float32],
    coverage: NDArray[np.uint8],
    groups: Sequence[str],
    seams: Sequence[tuple[int, int, _Seam]],
    variants: int,
    rng: np.random.Generator,
) -> Counterfactuals:
    """Pastes a patch for each (scan, scan whose outline gave the shape, seam) from the slices most alike."""
    count, size = images.shape[:2]
    both, covered = (np.concatenate([a, a[:, :, ::-1]]) for a in (images, coverage))
    _, names = np.unique(np.asarray(groups, str), return_inverse=True)
    names = np.concatenate([names, names])
    faces, tumours = _thumbnails(both), _thumbnails(covered.astype(np.float32)) > 0
    scan, made, replaced, donors = [], [], [], []
    step = 256
    for start in range(0, len(seams), step):
        part = seams[start : start + step]
        own = np.array([i for i, _, _ in part])
        shares = np.zeros((len(part), size, size), np.float32)
        for row, (_, _, seam) in enumerate(part):
            shares[row][seam.box] = seam.share
        patches = _thumbnails(shares) > 0
        unlike = _distances(faces[own], ~(patches | tumours[own]), faces)
        unlike[_flat(patches) @ _flat(tumours).T > 0] = np.inf
        unlike[names[own][:, None] == names[None]] = np.inf
        unlike[:, ~tumours.any((1, 2))] = np.inf  # nobody drew where its own tumour lies
        for row, (i, _, seam) in enumerate(part):
            nearest = np.argsort(unlike[row], kind="stable")[:_ALIKE]
            nearest = nearest[np.isfinite(unlike[row][nearest])].tolist()
            blends = [_blend(images[i], both[donor], seam) for donor in nearest]
            fitting = np.argsort(_oddness(blends, seam))[: max(_FITTING, variants)]
            for chosen in rng.permutation(fitting)[:variants].tolist():
                scan.append(i)
                made.append(blends[chosen][0])
                replaced.append(np.rint(shares[row] * 255).astype(np.uint8))
                donors.append(nearest[chosen] % count)
    stack = (len(made), size, size)
    return Counterfactuals(
        np.array(scan, np.intp),
        np.array(made, np.uint8).reshape(stack),
        np.array(replaced, np.uint8).reshape(stack),
        np.array(donors, np.intp),
    )


_ALIKE, _FITTING = 16, 3
"""Of how many slices most alike patches are tried, and of how many with the best seam a donor is drawn."""


def _blend(image: NDArray[np.float32], donor: NDArray[np.float32], seam: _Seam) -> tuple[NDArray[np.uint8], float]:
    """The image with the donor's patch, mean and spread matched in the band; and how far they differ in the band."""
    here, there = image[seam.box], donor[seam.box]
    ours, theirs = here[seam.band], there[seam.band]
    misfit = 0.0
    if len(ours):
        gain = float(np.clip(ours.std() / (theirs.std() + 1e-3), *_GAIN))
        there = (there - theirs.mean()) * gain + ours.mean()
        misfit = float(((there[seam.band] - ours) ** 2).mean())
    whole = image.copy()
    whole[seam.box] = here + (there - here) * seam.share
    return np.rint(whole.clip(0, 1) * 255).astype(np.uint8), misfit


def _oddness(blends: Sequence[tuple[NDArray[np.uint8], float]], seam: _Seam) -> NDArray[np.float64]:
    """How badly each blend fits: its seam, and how far its patch is from the median of all, mean squares in [0, 1]².

    What most heads alike have in a place is healthy; a lesion that nobody outlined, or another sequence, stands out.
    """
    misfits: NDArray[np.float64] = np.array([misfit for _, misfit in blends])
    core = seam.share > 0.5
    if not blends or not core.any():
        return misfits
    patches = np.array([image[seam.box][core] for image, _ in blends], np.float64) / 255
    misfits += ((patches - np.median(patches, 0)) ** 2).mean(1)
    return misfits


def _flat(maps: NDArray[np.bool_]) -> NDArray[np.float32]:
    return maps.reshape(len(maps), -1).astype(np.float32)


def _thumbnails(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, S, S) -> (N, c, c), means; c is 32 or a little more, or S where that is less."""
    size = pictures.shape[1]
    step = max(1, size // _COARSE)
    side = size // step
    whole = pictures[:, : side * step, : side * step]
    means: NDArray[np.float32] = whole.reshape(-1, side, step, side, step).mean((2, 4))
    return means


def _widened(shape: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A shape on the thumbnails' grid, two places wider on each side."""
    wide = np.pad(shape, 2)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(wide, (5, 5)).any((2, 3)), np.bool_)


def _distances(faces: NDArray[np.float32], seen: NDArray[np.bool_], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean squared difference of each face to all others over the places seen of it; each face has its own contrast.

    (n, c, c), (n, c, c) bool, (m, c, c) -> (n, m).
    """
    here, there = (f.reshape(len(f), -1) for f in (faces, others))
    weight = seen.reshape(len(faces), -1).astype(np.float32)
    here, there = ((f - f.mean(1, keepdims=True)) / (f.std(1, keepdims=True) + 1e-6) for f in (here, there))
    squares = (weight * here**2).sum(1, keepdims=True) - 2 * (weight * here) @ there.T + weight @ (there**2).T
    distances: NDArray[np.float32] = squares / weight.sum(1, keepdims=True).clip(1)
    return distances
