"""The CNN-LSTM whose answer is a sum over places: its heat map is exact, and radiologists' outlines can guide it.

A residual CNN makes feature maps at several resolutions and merges them, coarse into fine, into the last ones. An LSTM
reads these row by row and then column by column, so that every place knows the whole picture and remains a place.
A dense layer gives each place its evidence for every class, attention says how much each place counts, and the
attention-weighted mean of the evidence is the logits. So the logits are a sum of one contribution a place, and the
contributions are the heat map: nothing is estimated from gradients.

References:
    Visin et al., ReNet: A recurrent neural network based alternative to convolutional networks, arXiv:1505.00393, 2015
    (LSTMs along rows and columns).
    Ilse, Tomczak and Welling, Attention-based deep multiple instance learning, ICML 2018 (attention-weighted means).
    Lin et al., Feature pyramid networks for object detection, CVPR 2017 (coarse maps merged into fine ones).
    He et al., Deep residual learning for image recognition, CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tumorlens.model.network import AttentiveNetwork, Reading, register

Readout = Literal["attention", "mean", "last"]
_UNATTENDED = -2.0  # attention before its sigmoid, at the start: few places hold a tumour


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two convolutions beside a straight way: (B, width, h, w) -> the same. It begins as the straight way alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        nn.init.zeros_(self.second[1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> (B, width, h, w), values >= 0 if those of `x` are."""
        return F.relu(x + self.second(self.first(x)))


class Pyramid(nn.Module):
    """Residual stages, each at half the resolution of the one before, merged into maps as fine as the second finest.

    The first stage works at half the input's resolution, on 2 x 2 pixels at a time, so none works at the full one.
    (B, channels, S, S) -> (B, maps, S / reduction, S / reduction), values >= 0.
    """

    def __init__(self, channels: int, widths: Sequence[int], depths: Sequence[int], maps: int, reduction: int) -> None:
        super().__init__()
        if len(widths) != len(depths) or len(widths) < 2:
            raise ValueError(f"widths and depths name two or more stages each, not {widths} and {depths}")
        finest = {2 ** (i + 1): i for i in range(len(widths))}.get(reduction)
        if finest is None:
            raise ValueError(f"reduction is a power of two from 2 to {2 ** len(widths)}, not {reduction}")
        self.finest = finest
        self.stages = nn.ModuleList()
        before = 0
        for width, depth in zip(widths, depths, strict=True):
            entry: nn.Module = (
                _convolution(before, width, stride=2)
                if before
                else nn.Sequential(nn.PixelUnshuffle(2), _convolution(4 * channels, width))
            )
            self.stages.append(nn.Sequential(entry, *(Residual(width) for _ in range(depth))))
            before = width
        kept = list(widths[finest:])
        # Every merged stage brings the coarser one to its own width; the finest one brings both to `maps`.
        self.down = nn.ModuleList(
            _convolution(coarse, fine if i else maps, 1 if i else 3) for i, (fine, coarse) in enumerate(pairwise(kept))
        )
        self.across = _convolution(kept[0], maps, 1)
        self.last = _convolution(maps, maps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, S, S) -> (B, maps, S / reduction, S / reduction)."""
        kept = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i >= self.finest:
                kept.append(x)
        merged = kept[-1]
        for i in reversed(range(len(self.down))):
            fine = kept[i] if i else self.across(kept[0])
            merged = fine + F.interpolate(self.down[i](merged), scale_factor=2.0, mode="nearest")
        last: Tensor = self.last(merged if len(self.down) else self.across(merged))
        return last


class PlacesHead(nn.Module):
    """LSTMs along rows and columns, evidence and attention a place: (B, maps, h, w) -> (B, classes) logits."""

    def __init__(
        self,
        maps: int,
        hidden: int,
        dense: int,
        classes: int,
        *,
        block: int,
        dropout: float,
        sequence: bool = True,
        bidirectional: bool = True,
        readout: Readout = "attention",
    ) -> None:
        super().__init__()
        if readout not in ("attention", "mean", "last"):
            raise ValueError(f"readout is 'attention', 'mean' or 'last', not {readout!r}")
        self.readout, self.block = readout, block
        states = hidden * (2 if bidirectional else 1)
        self.rows = nn.LSTM(maps, hidden, batch_first=True, bidirectional=bidirectional) if sequence else None
        self.columns = nn.LSTM(states, hidden, batch_first=True, bidirectional=bidirectional) if sequence else None
        self.dropout = nn.Dropout2d(dropout)
        self.context = nn.Conv2d(states if sequence else maps, dense, 1)
        self.place = nn.Conv2d(maps, dense, 1)
        self.attention = nn.Conv2d(dense, 1, 1)
        self.evidence = nn.Conv2d(dense, classes, 1)
        nn.init.constant_(self.attention.bias, _UNATTENDED)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        """(B, maps, h, w) -> (B, classes)."""
        return self.read(maps).logits

    def read(self, maps: Tensor) -> Reading:
        """(B, maps, h, w) -> logits, and each place's part in them."""
        attention, evidence = self._places(maps)
        contributions = self._contributions(attention, evidence)
        return Reading(contributions.sum((2, 3)), contributions, attention[:, 0])

    def _places(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Attention before its sigmoid, (B, 1, h, w), and evidence, (B, classes, h, w), of each place."""
        context = self.context(self.dropout(self._states(maps)))
        places = F.relu(self.place(maps) + F.interpolate(context, scale_factor=float(self.block), mode="nearest"))
        # Both in one convolution: each alone has too few outputs to fill a processor's registers.
        heads = (self.attention, self.evidence)
        heads_out = F.conv2d(places, torch.cat([h.weight for h in heads]), torch.cat([h.bias for h in heads])).float()  # type: ignore[misc]
        return heads_out[:, :1], heads_out[:, 1:]

    def _contributions(self, attention: Tensor, evidence: Tensor) -> Tensor:
        """What each place adds to each logit, (B, classes, h, w)."""
        return self._shares(attention) * evidence

    def _states(self, maps: Tensor) -> Tensor:
        """What the LSTMs know at each block of places, (B, states, h / block, w / block)."""
        blocks = F.avg_pool2d(maps, self.block)
        if self.rows is None or self.columns is None:
            return blocks
        batch, _, high, wide = blocks.shape
        states, _ = self.rows(blocks.permute(0, 2, 3, 1).reshape(batch * high, wide, -1))
        states = states.reshape(batch, high, wide, -1).transpose(1, 2).reshape(batch * wide, high, -1)
        seen: Tensor = self.columns(states)[0]
        # channels-last, as the maps are: dense layers and sums over mixed layouts are several times slower
        return seen.reshape(batch, wide, high, -1).permute(0, 3, 2, 1).contiguous(memory_format=torch.channels_last)

    def _shares(self, attention: Tensor) -> Tensor:
        """How much each place counts; they sum to 1."""
        if self.readout == "attention":
            attended = attention.sigmoid()
            return attended / (attended.sum((2, 3), keepdim=True) + 1e-3)
        if self.readout == "mean":
            return torch.full_like(attention, 1 / attention[0].numel())
        shares = torch.zeros_like(attention)
        shares[:, :, -1, -1] = 1
        return shares


class DetectingHead(PlacesHead):
    """A `PlacesHead` that finds before it names: how much is attended decides whether there is anything.

    Outlines teach attention where a tumour is, place by place, and a level of the head or a scanner's look cannot stand
    in for that; evidence, which knows the whole picture through the LSTMs, could. So evidence only tells the classes
    that mean something apart, and their logits share one term, log(1 + attended / background), against a class that
    means nothing was found. Each place's part in that term is its part in what is attended, so contributions still sum
    to the logits. Arguments are those of `PlacesHead`, and two more.

    Args:
        nothing: Indices of the classes that mean nothing was found.
        background: As how much the background counts, as a share of all places.
    """

    named: Tensor

    def __init__(
        self,
        maps: int,
        hidden: int,
        dense: int,
        classes: int,
        *,
        nothing: Sequence[int],
        background: float,
        **options: Any,
    ) -> None:
        if not 0 < len(set(nothing)) < classes or background <= 0:
            raise ValueError("finding needs a class that means nothing, another one, and a background above 0")
        super().__init__(maps, hidden, dense, classes, **options)
        if self.readout != "attention":
            raise ValueError(f"with a background, attention reads out, not {self.readout!r}")
        self.background = background
        named = torch.ones(1, classes, 1, 1)
        named[:, list(nothing)] = 0
        self.register_buffer("named", named, persistent=False)
        # At the start an ordinary attention, not yet guided, is about as much as nothing found.
        self.bias = nn.Parameter(1 - named.flatten())
        self.gain = nn.Parameter(torch.zeros(()))  # logarithm of what the shared term is multiplied by

    def _contributions(self, attention: Tensor, evidence: Tensor) -> Tensor:
        places = attention.shape[2] * attention.shape[3]
        attended, rest = attention.sigmoid(), self.background * places
        mass = attended.sum((2, 3), keepdim=True)
        common = (evidence * self.named).sum(1, keepdim=True) / self.named.sum()
        found = self.gain.exp() * torch.log1p(mass / rest) / mass.clamp_min(1e-6)
        parts = self.named * attended * ((evidence - common) / (mass + rest) + found)
        return parts + self.bias[:, None, None] / places


@register("cnn_lstm_attention")
class CnnLstmAttention(AttentiveNetwork):
    """CNN, LSTM along rows and columns, attention, dense evidence a place, softmax.

    Args:
        channels: Channels of the input.
        classes: Number of outputs.
        widths: Feature maps of each stage; the first works at half the input's resolution.
        depths: Residual blocks of each stage.
        maps: Last feature maps.
        reduction: The input's size over that of the last feature maps, and so of the heat map.
        hidden: LSTM units in each direction.
        dense: Units of the dense layer at each place.
        sequence: Whether the LSTMs are there; without them, a block's mean takes their states' place.
        bidirectional: Whether the LSTMs also run backwards.
        readout: "attention", the weighted mean over all places; the plain "mean"; or the "last" place only, as
            the usual notebook reads an LSTM out.
        block: Height and width of the blocks of places that are one step of the sequence.
        dropout: Share of the LSTM's states left out, in training.
        background: Above 0, with a class that means nothing was found, the head is a `DetectingHead` with that much.
        nothing: Indices of the classes that mean nothing was found.
    """

    def __init__(
        self,
        channels: int = 1,
        classes: int = 4,
        *,
        widths: Sequence[int] = (32, 64, 128),
        depths: Sequence[int] = (1, 1, 1),
        maps: int = 64,
        reduction: int = 2,
        hidden: int = 64,
        dense: int = 64,
        sequence: bool = True,
        bidirectional: bool = True,
        readout: Readout = "attention",
        block: int = 4,
        dropout: float = 0.2,
        background: float = 0.0,
        nothing: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.features = Pyramid(channels, widths, depths, maps, reduction)
        more: dict[str, Any] = {
            "sequence": sequence,
            "bidirectional": bidirectional,
            "readout": readout,
            "block": block,
            "dropout": dropout,
        }
        if background and nothing:
            self.head = DetectingHead(maps, hidden, dense, classes, nothing=nothing, background=background, **more)
        else:
            self.head = PlacesHead(maps, hidden, dense, classes, **more)


@register("cnn_lstm_attention_fast")
class CnnLstmAttentionFast(CnnLstmAttention):
    """The same with a third of the arithmetic, for archives and small machines: a little less accurate.

    Arguments as in `CnnLstmAttention`.
    """

    def __init__(
        self,
        channels: int = 1,
        classes: int = 4,
        *,
        widths: Sequence[int] = (16, 32, 96),
        maps: int = 32,
        hidden: int = 32,
        dense: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(channels, classes, widths=widths, maps=maps, hidden=hidden, dense=dense, **options)
