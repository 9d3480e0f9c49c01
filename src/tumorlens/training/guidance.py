"""Guidance: what makes a network's attention lie on the tumour, as radiologists outlined it.

References:
    Li et al., Tell me where to look: Guided attention inference network, CVPR 2018 (attention supervised by masks).
    Milletari et al., V-Net, 3DV 2016 (the Dice loss, which small tumours do not drown in).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

_BALANCE = 4.0  # of cross-entropy a place to Dice; most places hold no tumour, so its mean is small


def guidance_loss(attention: Tensor, coverage: Tensor, outlined: Tensor, nothing: Tensor) -> Tensor:
    """How far attention is from the outlines: cross-entropy a place, and Dice where there is a tumour.

    A scan in which nothing is to be found should have no attention anywhere. A scan of a tumour without an outline
    says nothing, and is left out.

    Args:
        attention: (B, h, w) float32, before its sigmoid.
        coverage: (B, S, S) float32 in [0, 1], share of each pixel inside the outline.
        outlined: (B,) bool, whether a scan has an outline.
        nothing: (B,) bool, whether a scan's class means that nothing was found.

    Returns:
        The mean over the scans that say something, (); 0 where none does.
    """
    guided = outlined | nothing
    if not guided.any():
        return attention.sum() * 0
    attention, tumour = attention[guided], outlined[guided].float()
    # An average, so that a place partly inside is partly to be attended.
    wanted = F.adaptive_avg_pool2d(coverage[guided][:, None], (attention.shape[1], attention.shape[2]))[:, 0]
    entropy = F.binary_cross_entropy_with_logits(attention, wanted)
    predicted = attention.sigmoid()
    common, both = (predicted * wanted).sum((1, 2)), predicted.sum((1, 2)) + wanted.sum((1, 2))
    dice = 1 - (2 * common + 1) / (both + 1)
    return _BALANCE * entropy + (dice * tumour).sum() / tumour.sum().clamp_min(1)
