"""What the processor can multiply at most, and how much of it the model reaches."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from workspaces.indexing.embedding import n_cores
from workspaces.indexing.minilm_graph import HIDDEN, N_LAYERS

_ROWS, _WIDE = 1024, 4 * HIDDEN
_RUNS = 12
# Multiplications and additions for one token outside of the attention itself: query,
# key, value and output are 4 products of HIDDEN × HIDDEN, the two wide ones 8.
OPERATIONS = 2 * N_LAYERS * 12 * HIDDEN**2


def int8_peak() -> float:
    """Return operations a second of plain int8 products, all cores at work."""
    rng = np.random.default_rng(1)
    return _peak(
        "MatMulInteger",
        (TensorProto.UINT8, rng.integers(0, 255, (_ROWS, _WIDE), np.uint8)),
        (TensorProto.INT8, rng.integers(-127, 127, (_WIDE, _WIDE), np.int8)),
        TensorProto.INT32,
    )


def fp32_peak() -> float:
    """Likewise of fp32."""
    return _peak(
        "MatMul",
        (TensorProto.FLOAT, np.ones((_ROWS, _WIDE), np.float32)),
        (TensorProto.FLOAT, np.ones((_WIDE, _WIDE), np.float32)),
        TensorProto.FLOAT,
    )


def _peak(
    operator: str,
    left: tuple[int, NDArray[np.generic]],
    right: tuple[int, NDArray[np.generic]],
    result: int,
) -> float:
    graph = helper.make_graph(
        [helper.make_node(operator, ["a", "b"], ["c"])],
        "peak",
        [helper.make_tensor_value_info("a", left[0], left[1].shape)],
        [helper.make_tensor_value_info("c", result, [_ROWS, _WIDE])],
        # A constant, so that it is laid out for the kernel beforehand, as weights are.
        [helper.make_tensor("b", right[0], right[1].shape, right[1].tobytes(), True)],
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return _rate(lambda: session.run(None, {"a": left[1]}))


def _rate(work: Callable[[], object]) -> float:
    """Return the best rate of several runs; other work only ever makes it slower."""
    n_threads = n_cores()
    best = 0.0
    with ThreadPoolExecutor(n_threads) as threads:
        for _ in range(_RUNS):
            began = time.perf_counter()
            for done in [threads.submit(work) for _ in range(n_threads)]:
                done.result()
            seconds = time.perf_counter() - began
            best = max(best, 2 * _ROWS * _WIDE**2 * n_threads / seconds)
    return best
