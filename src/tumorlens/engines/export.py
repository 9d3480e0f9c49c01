"""Network, gate and heat maps written as one ONNX file: `tumorlens export`."""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tumorlens.card import WeightsCard, find_weights, read_card, write_card
from tumorlens.engines.eager import Eager
from tumorlens.engines.explaining import OUTPUTS, ExplainingNetwork
from tumorlens.engines.graph import Graph
from tumorlens.errors import ConfigError, ModelError, needs_extra
from tumorlens.files import writing

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnx import ModelProto

TOLERANCE = 1e-4
"""Largest difference between the graph's answers and PyTorch's that an export may have."""

_OPSET = 20
_WORTH_HALVING = 64  # values


def export_graph(weights: str | Path, path: Path | None = None) -> tuple[Path, float]:
    """Writes the graph of weights, after checking that it answers as PyTorch does.

    Args:
        weights: Name of weights in the package, a .safetensors file, or a training run's folder.
        path: The .onnx file to write. None writes it beside the weights and names it in their card, so that it
            becomes their engine.

    Returns:
        The file, and the largest difference from PyTorch's answers that was seen.

    Raises:
        ModelError: If there are no such weights, their heat maps need autograd, or the graph answers otherwise.
        ConfigError: If the file cannot be written.
        MissingExtra: If packages for exporting are not installed.
    """
    source = find_weights(weights)
    eager = Eager.load(source)
    card = read_card(source).model_copy(update={"heat_map": eager.rule})
    data = _onnx(ExplainingNetwork(eager.network, card.temperature, eager.gate, bias=card.biases).eval(), card)
    target = path or source.with_suffix(".onnx")
    checked = card.model_copy(update={"graph_sha256": hashlib.sha256(data).hexdigest()})
    try:
        with writing(target) as temporary:
            temporary.write_bytes(data)
            difference = compare(eager, Graph(temporary, checked, threads=1))
            if difference > TOLERANCE:
                raise ModelError(f"{source}: its graph differs from PyTorch by {difference:.2g}; not written")
        if path is None:
            write_card(checked, source)
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written ({error.strerror}); choose another --output") from error
    return target, difference


def compare(eager: Eager, graph: Graph, count: int = 20) -> float:
    """Largest difference between two engines' answers to random inputs, for every class.

    Heat maps are compared relative to their highest peak, distances to their size or the limit, probabilities as they
    are.
    """
    shape = eager.card.preprocessing
    rng = np.random.default_rng(0)
    coarse = rng.random((count, shape.channels, 8, 8), np.float32)
    images = np.kron(coarse, np.ones((1, 1, shape.size // 8 + 1, shape.size // 8 + 1), np.float32))
    images = images[..., : shape.size, : shape.size] * rng.random((count, 1, 1, 1), np.float32)
    answers = [
        (eager.answer(images, target=target), graph.answer(images, target=target))
        for target in range(len(eager.card.classes))
    ]
    heat = np.array([[one.heat, other.heat] for one, other in answers])  # (classes, 2, count, h, w)
    worst = _far(heat[:, 0], heat[:, 1]) / float(heat.max())
    for one, other in answers:
        worst = max(worst, _far(one.probabilities, other.probabilities))
        if one.distances is not None and other.distances is not None:
            worst = max(worst, float((abs(one.distances - other.distances) / one.distances.clip(1)).max()))
    return worst


def _far(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


def _onnx(network: ExplainingNetwork, card: WeightsCard) -> bytes:
    """The file's content. The batch is free; the card lies in the metadata, so that the file explains itself."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    example = torch.rand(3, card.preprocessing.channels, card.preprocessing.size, card.preprocessing.size)
    with needs_extra("exporting", "train"), _quiet(), torch.no_grad():
        program = torch.onnx.export(
            _with_entries_merged(network),
            (example,),
            input_names=["image"],
            output_names=list(OUTPUTS if network.gate is not None else OUTPUTS[:2]),
            dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            optimize=not card.half,  # which would merge normalisation into weights that half precision holds
        )
        assert program is not None
        if card.half:
            _fold(program.model)
    program.model.producer_name, program.model.producer_version = "tumorlens", card.version
    program.model.metadata_props.update(
        {"weights_sha256": card.sha256, "card": card.model_copy(update={"graph_sha256": ""}).model_dump_json()}
    )
    for node in program.model.graph.all_nodes():  # traces of the source code, half a megabyte of them
        node.metadata_props.clear()
        node.doc_string = None
    model = program.model_proto
    if card.half:
        _halve(model)
    graph: bytes = model.SerializeToString()
    return graph


def _fold(model: ir.Model) -> None:
    """Computes what is constant, beginning with the absent biases of convolutions and the limits of activations.

    A runtime that finds them computed anew at each pass neither merges normalisations and activations into convolutions
    nor takes its quick ones: that made a pass 2.9 times as long.
    """
    from onnxscript import optimizer

    optimizer.fold_constants(model)
    optimizer.remove_unused_nodes(model)


def _halve(model: ModelProto) -> None:
    """Stores what half precision holds exactly in half precision; a runtime widens it once, when it loads the file."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in list(model.graph.initializer):
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size < _WORTH_HALVING or not np.array_equal(half.astype(np.float32), values):
            continue
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(numpy_helper.from_array(half, f"{tensor.name}.half"))
        casts.append(helper.make_node("Cast", [f"{tensor.name}.half"], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _with_entries_merged(network: ExplainingNetwork) -> ExplainingNetwork:
    """A copy whose first convolution reads the picture itself.

    A 3 x 3 convolution over 2 x 2 pixels at a time is a 6 x 6 one over pixels, at every second one: the same sums,
    without the rearrangement, which took as long as the convolution.
    """
    network = deepcopy(network)
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[0], nn.PixelUnshuffle):
            convolution, step = module[1], module[0].downscale_factor
            assert isinstance(convolution, nn.Sequential)
            narrow = convolution[0]
            assert isinstance(narrow, nn.Conv2d)
            outputs, inputs, high, wide = narrow.weight.shape
            spread = narrow.weight.unflatten(1, (inputs // step**2, step, step)).permute(0, 1, 4, 2, 5, 3)
            merged = nn.Conv2d(inputs // step**2, outputs, step * high, step, step * (high // 2), bias=False)
            merged.weight = nn.Parameter(spread.reshape(outputs, -1, step * high, step * wide), requires_grad=False)
            module[0], module[1] = nn.Identity(), nn.Sequential(merged, *list(convolution)[1:])
    return network


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter, which prints its steps and warns of its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
