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

import torch
import torch.nn.functional as F
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
        self.readout, self.hidden = readout, hidden
        self.pool = nn.MaxPool2d(2)
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=bidirectional)
        width = hidden * (2 if bidirectional else 1)
        self.dense = dense_layers(width, classes, dropout)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, F, h, w) -> (B, classes)."""
        states, _ = self.lstm(self._steps(maps))
        logits: Tensor = self.dense(self._read_out(states))
        return logits

    def _steps(self, maps: Tensor) -> Tensor:
        pooled: Tensor = self.pool(maps)
        return pooled.flatten(2).transpose(1, 2)  # (B, h/2 * w/2, F), row by row

    def _read_out(self, states: Tensor) -> Tensor:
        return states[:, -1] if self.readout == "last" else states.mean(1)

    def weigh(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and Grad-CAM's weights of the maps for every class, without autograd: a graph can hold it.

        Backpropagation through time written out, for all classes and both directions at once. Max-pooling hands each
        gradient on to one position, so a map's mean gradient is the sum over the steps' divided by h * w.

        Args:
            maps: (B, F, h, w), the last feature maps.

        Returns:
            (B, classes) logits, and (B, classes, F) mean gradients of each logit with respect to the maps.
        """
        steps = self._steps(maps)
        states, _ = self.lstm(steps)
        logits, above = dense_jacobian(self.dense, self._read_out(states))
        directions = zip(states.split(self.hidden, 2), above.split(self.hidden, 2), strict=True)
        sums = [self._through_time(steps, own, pull, backwards=i == 1) for i, (own, pull) in enumerate(directions)]
        return logits, torch.stack(sums).sum(0) / (maps.shape[2] * maps.shape[3])

    def _through_time(self, steps: Tensor, states: Tensor, pull: Tensor, *, backwards: bool) -> Tensor:
        """Sum over all steps of the gradient at one direction's input, (B, classes, F).

        Args:
            steps: (B, T, F), what the LSTM read.
            states: (B, T, hidden), what this direction said.
            pull: (B, classes, hidden), gradient at what is read out of this direction.
            backwards: Whether this direction reads from the last step to the first.
        """
        suffix = "_l0_reverse" if backwards else "_l0"
        w_in, w_state, b_in, b_state = (
            getattr(self.lstm, f"{name}{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        if backwards:
            steps, states = steps.flip(1), states.flip(1)
        before = F.pad(states[:, :-1], (0, 0, 1, 0))
        i, f, g, o = (F.linear(steps, w_in, b_in) + F.linear(before, w_state, b_state)).chunk(4, 2)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        cells = [i[:, 0] * g[:, 0]]
        for t in range(1, steps.shape[1]):
            cells.append(f[:, t] * cells[-1] + i[:, t] * g[:, t])
        cell = torch.stack(cells, 1)
        shown = cell.tanh()
        to_cell = o * (1 - shown**2)
        cell_before = F.pad(cell[:, :-1], (0, 0, 1, 0))
        to_gates = torch.cat([g * i * (1 - i), cell_before * f * (1 - f), i * (1 - g**2), shown * o * (1 - o)], 2)
        last = steps.shape[1] - 1
        everywhere = pull / steps.shape[1] if self.readout == "mean" else torch.zeros_like(pull)
        read_last = 0 if backwards else last  # the step read out, in this direction's own order
        total = at_cell = at_gates = torch.zeros_like(pull)[..., :1]
        for t in range(last, -1, -1):
            at_state = pull if self.readout == "last" and t == read_last else everywhere
            if t < last:
                at_state = at_state + at_gates @ w_state
                at_cell = at_cell * f[:, None, t + 1]
            at_cell = at_state * to_cell[:, None, t] + at_cell
            at_gates = torch.cat([at_cell, at_cell, at_cell, at_state], 2) * to_gates[:, None, t]
            total = total + at_gates
        gradient: Tensor = total @ w_in
        return gradient


def dense_layers(inputs: int, classes: int, dropout: float) -> nn.Sequential:
    """Two dense layers with dropout: (B, inputs) -> (B, classes) logits."""
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(inputs, 64),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(64, classes),
    )


def dense_jacobian(dense: nn.Sequential, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of `dense_layers`, and their gradients with respect to the inputs, without autograd.

    (B, inputs) -> (B, classes) and (B, classes, inputs).
    """
    _, first, _, _, last = dense
    hidden = first(inputs)
    passing = (hidden > 0).to(inputs)
    return last(F.relu(hidden)), (last.weight * passing[:, None]) @ first.weight


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


class PooledHead(nn.Sequential):
    """Max-pooling, the mean over positions, dense layers: (B, F, h, w) -> (B, classes) logits."""

    def weigh(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """As `SequenceHead.weigh`."""
        logits, above = dense_jacobian(self[-1], self[:-1](maps))  # type: ignore[arg-type]
        return logits, above / (maps.shape[2] * maps.shape[3])


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
        self.head = PooledHead(
            nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense_layers(widths[-1], classes, dropout)
        )
