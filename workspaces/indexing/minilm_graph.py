"""Write all-MiniLM-L6-v2 as an ONNX graph: one text's tokens in, a unit vector out.

A BERT of 6 layers, then the mean over the tokens, then length 1; built from ONNX
Runtime's fused operators where they are the quickest (`_add_and_norm` is not).

Int8 here is reproducible. The usual dynamic quantisation takes one scale from a whole
batch, so that a vector depends on its neighbours (cosine 0.99 to itself). A run of
this graph has no neighbours and no padding, so that the one scale is the text's own.
Where one scale a text is too coarse, each token gets its own (`_row_product`).

Source: https://arxiv.org/abs/1810.04805 (BERT);
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

Precision = Literal["fp32", "int8", "int8-unsigned"]
Weights = Mapping[str, NDArray[np.float32]]

N_LAYERS = 6
N_HEADS = 12
HIDDEN = 384
# ONNX 1.13's operators, which every ONNX Runtime since 1.14 runs.
_OPSET, _IR = 18, 8
_FUSED = "com.microsoft"
_EPSILON = 1e-12
_ZERO_POINT = 128  # an activation of 0.0 as u8


def build_model(weights: Weights, precision: Precision) -> ModelProto:
    """Return the model: `ids` (1, length) i32 to `vectors` (1, HIDDEN) f32.

    `int8-unsigned` computes the same numbers as `int8`; processors without VNNI need
    it, since their signed kernels saturate.
    """
    return _Builder(weights, precision).model()


class _Builder:
    """Collects nodes and constants; a tensor is known by its name."""

    def __init__(self, weights: Weights, precision: Precision) -> None:
        self._weights = weights
        self._precision = precision
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def model(self) -> ModelProto:
        x = self._embeddings()
        for layer in range(N_LAYERS):
            x = self._layer(f"encoder.layer.{layer}.", x)
        self._pool(x)
        ids = helper.make_tensor_value_info("ids", TensorProto.INT32, [1, "length"])
        vectors = helper.make_tensor_value_info(
            "vectors", TensorProto.FLOAT, [1, HIDDEN]
        )
        graph: GraphProto = helper.make_graph(
            self._nodes, "minilm", [ids], [vectors], list(self._constants.values())
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR)

    def _embeddings(self) -> str:
        """Sum of the embeddings of word, position and (always the first) type."""
        words = self._weights["embeddings.word_embeddings.weight"]
        positions = self._weights["embeddings.position_embeddings.weight"]
        types = self._weights["embeddings.token_type_embeddings.weight"]
        inputs = [
            "ids",
            "",
            self._constant("words", words),
            self._constant("positions", positions + types[0]),
            "",
            self._weight("embeddings.LayerNorm.weight"),
            self._weight("embeddings.LayerNorm.bias"),
        ]
        return self._fused("EmbedLayerNormalization", inputs, n=2, epsilon=_EPSILON)[0]

    def _layer(self, name: str, x: str) -> str:
        attention = self._attention(name + "attention.", x)
        x = self._add_and_norm(name + "attention.output.LayerNorm.", attention, x)
        wide = self._row_product(name + "intermediate.dense.", x)
        bias = self._weight(name + "intermediate.dense.bias")
        (wide,) = self._fused("BiasGelu", [wide, bias])
        narrow = self._row_product(name + "output.dense.", wide)
        narrow = self._node("Add", [narrow, self._weight(name + "output.dense.bias")])
        return self._add_and_norm(name + "output.LayerNorm.", narrow, x)

    def _attention(self, name: str, x: str) -> str:
        """Query, key and value in one product, as it reads `x` once."""
        parts = [f"{name}self.{part}." for part in ("query", "key", "value")]
        weight = np.concatenate([self._weights[f"{part}weight"] for part in parts])
        bias = np.concatenate([self._weights[f"{part}bias"] for part in parts])
        joined = self._product(f"{name}self.", weight, bias, x)
        split = [f"{part}rows" for part in parts]
        self._add("Split", [joined], split, axis=-1, num_outputs=3)
        (mixed,) = self._fused("MultiHeadAttention", split, num_heads=N_HEADS)
        name += "output.dense."
        weight, bias = self._weights[f"{name}weight"], self._weights[f"{name}bias"]
        return self._product(name, weight, bias, mixed)

    def _add_and_norm(self, name: str, x: str, residual: str) -> str:
        """Layer normalisation of a sum.

        In single steps, each of which uses the processor's wide registers: ONNX
        Runtime's own operator adds up one number after the other, and takes twice as
        long as all of these.
        """
        x = self._node("Add", [x, residual])
        x = self._node("Sub", [x, self._mean(x)])
        variance = self._mean(self._node("Mul", [x, x]))
        epsilon = self._constant("epsilon", np.array(_EPSILON, np.float32))
        deviation = self._node("Sqrt", [self._node("Add", [variance, epsilon])])
        x = self._node("Mul", [x, self._node("Reciprocal", [deviation])])
        x = self._node("Mul", [x, self._weight(name + "weight")])
        return self._node("Add", [x, self._weight(name + "bias")])

    def _mean(self, x: str) -> str:
        return self._node("ReduceMean", [x, self._last_axis()], keepdims=1)

    def _pool(self, x: str) -> None:
        axis = self._constant("axis_1", np.array([1], np.int64))
        mean = self._node("ReduceMean", [x, axis], keepdims=0)
        self._add("LpNormalization", [mean], ["vectors"], axis=-1, p=2)

    # Products with weights, which are given as (outputs, inputs) as in PyTorch

    def _product(
        self,
        name: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        x: str,
    ) -> str:
        """Return `x` times the weight and the bias added; one scale for all of `x`."""
        added = self._constant(name + "bias", bias)
        if self._precision == "fp32":
            product = self._node("MatMul", [x, self._constant(name, weight.T)])
            return self._node("Add", [product, added])
        stored, scales, zeros = self._int8(name, weight)
        inputs = [x, stored, scales, zeros, added]
        return self._fused("DynamicQuantizeMatMul", inputs)[0]

    def _row_product(self, name: str, x: str) -> str:
        """Return `x` times the weight, each row of `x` with a scale of its own.

        For what goes into the two wide layers: some tokens' numbers are far larger
        than the others'. The cosine to fp32's vectors is .998 with this, .994 without.
        """
        weight = self._weights[f"{name}weight"]
        if self._precision == "fp32":
            return self._node("MatMul", [x, self._constant(name, weight.T)])
        stored, scales, zeros = self._int8(name, weight)
        scale, rows = self._quantised_rows(x)
        one, point = self._one(), self._zero_point()
        inputs = [rows, stored, one, scales, point, zeros]
        (product,) = self._fused("MatMulIntegerToFloat", inputs)
        return self._node("Mul", [product, scale])

    def _int8(self, name: str, weight: NDArray[np.float32]) -> tuple[str, str, str]:
        """Store a weight with a scale per output; return it, scales, zero points."""
        weight = weight.T
        scales = np.abs(weight).max(axis=0) / 127
        stored = np.clip(np.round(weight / scales), -127, 127).astype(np.int16)
        zeros = np.zeros(weight.shape[1], np.int16)
        kind: type[np.integer[Any]] = np.int8
        if self._precision == "int8-unsigned":
            kind, stored, zeros = np.uint8, stored + 128, zeros + 128
        return (
            self._constant(name, stored.astype(kind)),
            self._constant(name + "scale", scales.astype(np.float32)),
            self._constant(name + "zero", zeros.astype(kind)),
        )

    def _quantised_rows(self, x: str) -> tuple[str, str]:
        """Return each row's scale (its largest absolute value is 127) and its u8."""
        tiny = self._constant("tiny", np.array(1e-12, np.float32))
        part = self._constant("one_127th", np.array(1 / 127, np.float32))
        size = self._node("Abs", [x])
        size = self._node("ReduceMax", [size, self._last_axis()], keepdims=1)
        scale = self._node("Mul", [self._node("Max", [size, tiny]), part])
        scaled = self._node("Mul", [x, self._node("Reciprocal", [scale])])
        inputs = [scaled, self._one(), self._zero_point()]
        return scale, self._node("QuantizeLinear", inputs)

    # Constants

    def _last_axis(self) -> str:
        return self._constant("last_axis", np.array([-1], np.int64))

    def _one(self) -> str:
        return self._constant("one", np.ones((), np.float32))

    def _zero_point(self) -> str:
        return self._constant("zero_point", np.array(_ZERO_POINT, np.uint8))

    def _weight(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        if name not in self._constants:
            array = np.ascontiguousarray(value)
            if not value.shape:
                array = array.reshape(())
            self._constants[name] = numpy_helper.from_array(array, name)
        return name

    # Nodes

    def _node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of ONNX's own; return its output's name."""
        output = f"t{len(self._nodes)}"
        self._add(operator, inputs, [output], **attributes)
        return output

    def _fused(
        self, operator: str, inputs: Sequence[str], *, n: int = 1, **attributes: Any
    ) -> list[str]:
        """Add one of ONNX Runtime's fused operators; return its n outputs' names."""
        outputs = [f"t{len(self._nodes)}.{i}" for i in range(n)]
        self._add(operator, inputs, outputs, domain=_FUSED, **attributes)
        return outputs

    def _add(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        **attributes: Any,
    ) -> None:
        name = f"n{len(self._nodes)}"
        self._nodes.append(
            helper.make_node(operator, inputs, outputs, name=name, **attributes)
        )
