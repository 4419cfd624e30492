"""The parts of a graph that every architecture needs: weights, whole or in few bits, and products.

Operators are ONNX's own and ONNX Runtime's (MatMulNBits, GatherBlockQuantized, FusedMatMul).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from avalan.compress.quantize import BLOCK, Bits, quantize
from avalan.errors import ModelError

Array = NDArray[np.float32]
RUNTIME = "com.microsoft"
_BITS: dict[str, Bits] = {"int8": 8, "int4": 4}
# Lets ONNX Runtime round the inputs of a product to int8 as well: about twice as fast.
_INT8_INPUTS = 4


class Nodes:
    """Collects nodes and constants; a method adds one part and returns its output's name."""

    def __init__(self, weights: Mapping[str, Array], precision: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._weights = weights
        self._bits = _BITS.get(precision)

    def model(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        """What has been collected."""
        return helper.make_model(
            helper.make_graph(self.nodes, name, inputs, outputs, self.initializers),
            opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(RUNTIME, 1)],
            producer_name="avalan",
            ir_version=8,
        )

    def _lookup(self, name: str, table: Array, token_ids: str, out: str, bits: Bits = 8) -> str:
        """The rows of a table (rows, columns) that are kept in `bits` bits, or whole."""
        if self._bits is None:
            self._constant(name, table)
            return self._node("Gather", [name, token_ids], [out])
        self._quantized(name, table, bits)
        return self._node(
            "GatherBlockQuantized",
            [f"{name}.values", token_ids, f"{name}.scales"],
            [out],
            domain=RUNTIME,
            bits=bits,
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=1,
        )

    def _product(self, source: str, layer: str, sizes: Mapping[str, int], columns: int) -> str:
        """One product with the named matrices of a layer stacked, in the order given."""
        parts = [
            self._weight(f"{layer}{name}.weight", rows, columns) for name, rows in sizes.items()
        ]
        name = layer + "_".join(sizes)
        bits = self._bits or 8
        self._constant_matrix(name, np.concatenate(parts), bits)
        return self._multiply(source, name, name + ".out", sum(sizes.values()), columns, bits)

    def _multiply(
        self, source: str, matrix: str, out: str, rows: int, columns: int, bits: Bits
    ) -> str:
        """source (…, columns) times the transpose of a stored matrix (rows, columns)."""
        if self._bits is None:
            return self._node("FusedMatMul", [source, matrix], [out], domain=RUNTIME, transB=1)
        return self._node(
            "MatMulNBits",
            [source, self._in_blocks(matrix, rows, columns, bits), matrix + ".scales"],
            [out],
            domain=RUNTIME,
            K=columns,
            N=rows,
            bits=bits,
            block_size=BLOCK,
            accuracy_level=_INT8_INPUTS,
        )

    def _in_blocks(self, matrix: str, rows: int, columns: int, bits: Bits) -> str:
        """The same bytes as (rows, blocks, bytes); folded when the model is loaded."""
        sizes = np.array([rows, columns // BLOCK, BLOCK * bits // 8], np.int64)
        self._constant(matrix + ".sizes", sizes)
        return self._node("Reshape", [matrix + ".values", matrix + ".sizes"], [matrix + ".blocks"])

    def _constant_matrix(self, name: str, matrix: Array, bits: Bits) -> None:
        if self._bits is None:
            self._constant(name, matrix)
        else:
            self._quantized(name, matrix, bits)

    def _quantized(self, name: str, matrix: Array, bits: Bits) -> None:
        if matrix.shape[1] % BLOCK:
            raise ModelError(
                "The matrix {name} has {columns} columns, which is not a multiple of {block}, "
                "so it cannot be quantised in blocks; export with the precision fp32.",
                name=name,
                columns=matrix.shape[1],
                block=BLOCK,
            )
        packed = quantize(matrix, bits)
        self._constant(name + ".values", packed.values)
        self._constant(name + ".scales", packed.scales)

    def _weight(self, name: str, *sizes: int) -> Array:
        weight = self._weights.get(name)
        if weight is None:
            raise ModelError("The weight {name} is missing; download the model again.", name=name)
        if weight.shape != sizes:
            raise ModelError(
                "The weight {name} is of the shape {shape}, but config.json asks for {sizes}; "
                "the files do not belong together, so download the model again.",
                name=name,
                shape=weight.shape,
                sizes=sizes,
            )
        return weight

    def _constant(self, name: str, array: NDArray[Any]) -> None:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))

    def _node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> str:
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]
