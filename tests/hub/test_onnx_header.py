"""Number formats of ONNX files, as the package that writes them counts."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from avalan.hub.onnx_header import count_formats
from avalan.model import bundled


def test_the_bundled_models_weights_are_in_blocks_of_8_bits() -> None:
    folder = bundled.find("bundled").folder
    graph = onnx.load(folder / "model.onnx").graph
    sizes = {each.name: numpy_helper.to_array(each).size for each in graph.initializer}
    kinds = {each.name: each.data_type for each in graph.initializer}
    blocks = sum(size for name, size in sizes.items() if kinds[name] == onnx.TensorProto.UINT8)
    plain = sum(
        size
        for name, size in sizes.items()
        if kinds[name] == onnx.TensorProto.FLOAT and not name.endswith(".scales")
    )
    assert count_formats(folder / "model.onnx") == {"Q8": blocks, "F32": plain}


def test_a_byte_holds_two_weights_of_4_bits(tmp_path: Path) -> None:
    tensors = [
        numpy_helper.from_array(np.zeros((3, 2, 16), np.uint8), "w"),
        numpy_helper.from_array(np.zeros((3, 2), np.float32), "s"),
        numpy_helper.from_array(np.zeros(5, np.float16), "norm"),
        numpy_helper.from_array(np.zeros(9, np.int64), "shape"),
    ]
    node = helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", bits=4)
    graph = helper.make_graph([node], "g", [], [], tensors)
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    assert count_formats(tmp_path / "model.onnx") == {"Q4": 192, "F16": 5}


@pytest.mark.parametrize("content", [b"", b"\xff" * 9, b"\x3a\x09\x2a", b"no model"])
def test_a_file_that_is_none_counts_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert count_formats(tmp_path / "model.onnx") == {}
