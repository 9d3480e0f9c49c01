"""Random changes a scan can really have, on whole batches.

Patients lie turned, shifted and nearer or farther; the left and the right half of a head look alike; scanners differ
in contrast, in the smooth shading of their coils and in noise. Slices are never turned upside down: no scan is.

Tiles of tissue have no up: they lie in all eight ways. Laboratories differ in how much of each stain tissue takes, so
the amounts of haematoxylin, eosin and what is left vary, as colour deconvolution finds them.

References:
    Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution, Anal. Quant. Cytol. Histol.
    23, 2001 (the stains' colours).
    Tellez et al., Whole-slide mitosis detection in H&E breast histology, IEEE Trans. Med. Imaging 37, 2018 (stains that
    vary in training).
"""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

_STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""Optical densities in red, green and blue of haematoxylin, eosin and DAB, a row each."""


def augment(images: Tensor, strength: float = 1.0) -> Tensor:
    """Changes each picture of a batch in its own random way.

    Takes and gives (B, C, S, S) float32 in [0, 1]. A strength of 0 changes nothing, 1 is usual.
    """
    return augment_with(images, None, strength)[0]


def augment_with(
    images: Tensor,
    coverage: Tensor | None,
    strength: float = 1.0,
    warp: float = 0.0,
    *,
    upright: bool = True,
    stained: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """The same, taking the pictures' outlines along.

    `coverage` is (B, S, S) float32 in [0, 1], the share of each pixel inside the outline; it is moved with the
    pictures. `warp` is the standard deviation, in halves of the picture, of smooth random bends in every other picture.
    Pictures that are not `upright` are turned by quarters too, and go on beyond their edge as in a mirror; of `stained`
    ones, in RGB, the stains vary, and not a scanner's contrast and shading.
    """
    if strength <= 0:
        return images, coverage
    batch = len(images)

    def chance(share: float) -> Tensor:
        return (torch.rand(batch, device=images.device) < share).float()

    # Moving a picture interpolates it and so softens it. A third stays sharp, as all are when the network is used.
    moving, shading = chance(0.67), chance(0.5)

    def uniform(spread: float) -> Tensor:
        return (torch.rand(batch, device=images.device) * 2 - 1) * spread * strength

    mirror = 1 - 2 * chance(0.5)
    angle = uniform(15 * math.pi / 180) * moving
    scale_x, scale_y = 1 + uniform(0.12) * moving, 1 + uniform(0.12) * moving
    shear = uniform(0.08) * moving
    if not upright:
        angle = angle + torch.randint(4, (batch,), device=images.device) * (math.pi / 2)
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.stack(
        [
            torch.stack([mirror * cos * scale_x, (shear - sin) * scale_y, uniform(0.12) * moving], 1),
            torch.stack([mirror * sin * scale_x, cos * scale_y, uniform(0.12) * moving], 1),
        ],
        1,
    )
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    if warp > 0:
        bends = torch.randn(batch, 2, 5, 5, device=images.device) * (chance(0.5) * warp)[:, None, None, None]
        grid = grid + _smooth(bends, images.shape[-1]).permute(0, 2, 3, 1)
    beyond = "zeros" if upright else "reflection"
    moved = F.grid_sample(images, grid, padding_mode=beyond, align_corners=False)
    if coverage is not None:
        coverage = F.grid_sample(coverage[:, None], grid, padding_mode=beyond, align_corners=False)[:, 0]
    if stained:
        return _restained(moved, strength), coverage

    def per_picture(values: Tensor) -> Tensor:
        return values[:, None, None, None]

    coarse = torch.randn(batch, 1, 3, 3, device=images.device) * per_picture(shading) * 0.12 * strength
    field = _smooth(coarse, images.shape[-1]).exp()
    contrasted = moved.clamp_min(1e-6) ** per_picture((uniform(0.35) * shading).exp()) * per_picture(1 + uniform(0.15))
    noise = torch.randn_like(moved) * per_picture(
        torch.rand(batch, device=images.device) * chance(0.5) * 0.03 * strength
    )
    return (contrasted * field + noise).clamp(0, 1), coverage


def without_some(images: Tensor, share: float) -> Tensor:
    """Scans of several sequences with each left out (0 all over) so often; of what a scan has, one always stays.

    Takes and gives (B, C, S, S) float32 in [0, 1].
    """
    there = images.flatten(2).amax(2) > 0
    drawn = torch.rand(images.shape[:2], device=images.device).masked_fill(~there, -1)
    kept = (drawn >= share) | (drawn >= drawn.amax(1, keepdim=True))
    return images * kept[:, :, None, None]


def _restained(images: Tensor, strength: float) -> Tensor:
    """Each picture with a little more or less of each stain, and brighter or darker: (B, 3, S, S) in [0, 1]."""
    colours = F.normalize(torch.tensor(_STAINS, device=images.device), dim=1)
    spread = 0.15 * strength
    amounts = torch.einsum("bcij,cs->bsij", -images.clamp_min(1 / 255).log(), torch.linalg.inv(colours))
    more = 1 + (torch.rand(len(images), 3, 1, 1, device=images.device) * 2 - 1) * spread
    density = torch.einsum("bsij,sc->bcij", amounts * more, colours)
    light = (torch.rand(len(images), 1, 1, 1, device=images.device) * 2 - 1) * spread / 2
    return (density.neg() - light).exp().clamp(0, 1)


def _smooth(coarse: Tensor, size: int) -> Tensor:
    """Bicubic interpolation of (B, C, n, n) to (B, C, size, size), corner to corner, as two products of matrices.

    PyTorch's own looks up its neighbours pixel by pixel, and takes much longer.
    """
    basis = _cubic(coarse.shape[-1], size).to(coarse.device)
    return basis @ coarse @ basis.T


@cache
def _cubic(count: int, size: int) -> Tensor:
    """(size, count): what each of `count` points weighs in each of `size` pixels between the first and the last."""
    lines = torch.eye(count)[:, None, :, None].expand(-1, 1, -1, 2)
    smooth = F.interpolate(lines, (size, 2), mode="bicubic", align_corners=True)
    return smooth[:, 0, :, 0].T.contiguous()
