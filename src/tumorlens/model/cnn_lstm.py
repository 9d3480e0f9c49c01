"""The paper's CNN-LSTM, and the same network without its LSTM.

Convolution and max-pooling blocks make feature maps; every position of the last maps is one step of a sequence, read
row by row; an LSTM reads it; dense layers and a softmax name the class.

Two choices differ from the usual notebook. Batch normalisation follows each convolution. And the LSTM runs both ways
and is read out as the mean over all its steps: read out at its last step only, the gradient at the top of the picture
is a thousandth of that at the bottom, and Grad-CAM looks at the chin whatever the network saw. `readout="last"` and
`bidirectional=False` give the usual notebook's network back, for comparison.

References:
    Hochreiter and Schmidhuber, Long short-term memory, Neural Computation 9(8), 1997.
    Ioffe and Szegedy, Batch normalization, ICML 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from tumorlens.model.network import Network, register


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def convolutions(channels: int, widths: Sequence[int], depth: int) -> nn.Sequential:
    """Blocks of `depth` convolutions with max-pooling between them, ending on a convolution.

    (B, channels, S, S) -> (B, widths[-1], S / 2^(n-1), S / 2^(n-1)) for n widths; values >= 0.
    """
    layers: list[nn.Module] = []
    before = channels
    for index, width in enumerate(widths):
        if index:
            layers.append(nn.MaxPool2d(2))
        for _ in range(depth):
            layers += _convolution(before, width)
            before = width
    return nn.Sequential(*layers)


class SequenceHead(nn.Module):
    """Max-pooling, positions as a sequence, LSTM, dense layers: (B, F, h, w) -> (B, classes) logits."""

    def __init__(
        self, inputs: int, hidden: int, classes: int, *, bidirectional: bool, readout: str, dropout: float
    ) -> None:
        super().__init__()
        if readout not in ("mean", "last"):
            raise ValueError(f"readout is 'mean' or 'last', not {readout!r}")
        self.readout = readout
        self.pool = nn.MaxPool2d(2)
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=bidirectional)
        width = hidden * (2 if bidirectional else 1)
        self.dense = dense_layers(width, classes, dropout)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, F, h, w) -> (B, classes)."""
        steps = self.pool(maps).flatten(2).transpose(1, 2)  # (B, h/2 * w/2, F), row by row
        states, _ = self.lstm(steps)
        logits: Tensor = self.dense(states[:, -1] if self.readout == "last" else states.mean(1))
        return logits


def dense_layers(inputs: int, classes: int, dropout: float) -> nn.Sequential:
    """Two dense layers with dropout: (B, inputs) -> (B, classes) logits."""
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(inputs, 64),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(64, classes),
    )


@register("cnn_lstm")
class CnnLstm(Network):
    """The paper's network.

    Args:
        channels: Channels of the input.
        classes: Number of outputs.
        widths: Feature maps of each block.
        depth: Convolutions in each block.
        hidden: LSTM units in each direction.
        bidirectional: Whether the LSTM also runs from the last position to the first.
        readout: "mean" of the LSTM's states over all positions, or its state at the "last" one.
        dropout: Share of units left out before each dense layer, in training.
    """

    def __init__(
        self,
        channels: int = 1,
        classes: int = 4,
        *,
        widths: Sequence[int] = (16, 32, 96),
        depth: int = 2,
        hidden: int = 96,
        bidirectional: bool = True,
        readout: Literal["mean", "last"] = "mean",
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.features = convolutions(channels, widths, depth)
        self.head = SequenceHead(
            widths[-1], hidden, classes, bidirectional=bidirectional, readout=readout, dropout=dropout
        )


@register("cnn")
class Cnn(Network):
    """The paper's network without its LSTM, so that the LSTM's worth can be measured.

    Positions are averaged instead of read as a sequence. Arguments as in `CnnLstm`.
    """

    def __init__(
        self,
        channels: int = 1,
        classes: int = 4,
        *,
        widths: Sequence[int] = (16, 32, 96),
        depth: int = 2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.features = convolutions(channels, widths, depth)
        self.head = nn.Sequential(
            nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense_layers(widths[-1], classes, dropout)
        )
