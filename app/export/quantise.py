"""An exported ONNX file with its weights in 8 bits.

    matrix products   weights and, while running, what they are given in 8 bits      smaller, faster
    convolutions      weights alone; they compute in 32 bits                         smaller

Convolutions in 8 bits (ConvInteger) were measured to be slower than in 32 (benchmarks/export.py).
Biases, norms and everything else keep their 32 bits.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 127  # of a weight in 8 bits; -128 is not used, so that 0 lies in the middle
# Fewer weights than this are not worth a scale for each filter.
LEAST_WEIGHTS = 1024


def quantize_file(path: Path) -> None:
    """Put the weights of an ONNX file into 8 bits, in place."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    scratch = path.with_name(path.name + ".part")
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it advises a preparation that changes nothing here
    try:
        quantize_dynamic(
            path,
            scratch,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"EnableSubgraph": True},  # the body of Scan
        )
    finally:
        logging.disable(disabled)
    model = onnx.load(scratch)
    _quantize_convolutions(model)
    onnx.save(model, scratch)
    scratch.replace(path)


def _quantize_convolutions(model: Any) -> None:
    """Put a DequantizeLinear between the weights of each convolution, now in 8 bits, and it."""
    from onnx import helper, numpy_helper

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in _all_nodes(model.graph):
        name = node.input[1] if node.op_type == "Conv" else ""
        if name in weights:
            values: Any = numpy_helper.to_array(weights[name])
            if values.dtype == np.float32 and values.size >= LEAST_WEIGHTS:
                small, scales = quantized(values)
                names = [f"{name}_{part}" for part in ("int8", "scale")]
                arrays: tuple[Any, Any] = (small, scales)
                for part, array in zip(names, arrays, strict=True):
                    model.graph.initializer.append(numpy_helper.from_array(array, part))
                nodes.append(helper.make_node("DequantizeLinear", names, [name], axis=0))
                model.graph.initializer.remove(weights.pop(name))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def _all_nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph, those in the bodies of its loops among them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_nodes(attribute.g)


def quantized(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights (filters, ...) in 8 bits, and a scale for each filter: weight = scale x number."""
    largest = np.abs(weights.reshape(len(weights), -1)).max(axis=1)
    scales = np.where(largest > 0, largest / MOST, 1.0).astype(np.float32)
    wide = scales.reshape(-1, *[1] * (weights.ndim - 1))
    return np.round(weights / wide).astype(np.int8), scales
