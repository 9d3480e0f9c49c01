"""Counterfactuals of outlined scans: the same head without its tumour, and the same tumour beside a pasted patch.

A *tumour-free twin* has the outlined tumour replaced by the like place of another patient's slice: of those most alike
outside the outline, one whose own tumour lies elsewhere; intensities are matched in a band around the seam, whose edge
is feathered. A twin shows what a network should find where nothing is, at the same level of the head and from the same
scanner. Nothing else does: where every scan with a tumour comes from one source and every scan without from others, the
source tells them apart.

A *patched control* has a patch pasted in the same way where no tumour is, in the shape of another scan's tumour, so
that pasting itself tells nothing.

Reference: Chang et al., Explaining image classifiers by counterfactual generation, ICLR 2019 (replacing a region by
what could have been there).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
        unlike[
            patches.reshape(len(part), -1).astype(np.float32) @ tumours.reshape(len(both), -1).T.astype(np.float32) > 0
        ] = np.inf
        unlike[names[own][:, None] == names[None]] = np.inf
        for row, (i, _, seam) in enumerate(part):
            nearest = np.argsort(unlike[row], kind="stable")[:_ALIKE]
            nearest = nearest[np.isfinite(unlike[row][nearest])].tolist()
            blends = [_blend(images[i], both[donor], seam) for donor in nearest]
            fitting = np.argsort([misfit for _, misfit in blends])[: max(_FITTING, variants)]
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


def _flat(maps: NDArray[np.bool_]) -> NDArray[np.float32]:
    return maps.reshape(len(maps), -1).astype(np.float32)


def _thumbnails(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, S, S) -> (N, c, c), means; c is 32 or a little more, or S where that is less."""
    size = pictures.shape[1]
    step = max(1, size // _COARSE)
    side = size // step
    whole = pictures[:, : side * step, : side * step]
    return whole.reshape(-1, side, step, side, step).mean((2, 4))


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
