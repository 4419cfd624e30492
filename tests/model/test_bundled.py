"""The catalogue of what ships."""

import hashlib
import json
from pathlib import Path

import pytest

from avalan.errors import ModelError
from avalan.model import bundled


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "nano").mkdir()
    (tmp_path / "nano" / "model.onnx").write_bytes(b"weights")
    row = {
        "folder": "nano",
        "licence": "Apache-2.0",
        "card": "nano/card.md",
        "files": {"model.onnx": hashlib.sha256(b"weights").hexdigest()},
    }
    (tmp_path / "catalogue.json").write_text(json.dumps({"bundled": row}))
    return tmp_path


def test_bundled_model_is_found_with_its_licence_and_card(root: Path) -> None:
    model = bundled.find("bundled", root)

    assert model.folder == root / "nano"
    assert (model.licence, model.card) == ("Apache-2.0", root / "nano" / "card.md")
    assert model.size_bytes == 7


def test_changed_file_is_refused(root: Path) -> None:
    (root / "nano" / "model.onnx").write_bytes(b"other")

    with pytest.raises(ModelError, match="not the one that was released"):
        bundled.find("bundled", root)


def test_missing_file_is_named(root: Path) -> None:
    (root / "nano" / "model.onnx").unlink()

    with pytest.raises(ModelError, match=r"file model\.onnx of the model 'bundled' is missing"):
        bundled.find("bundled", root)


def test_unknown_name_lists_what_ships(root: Path) -> None:
    with pytest.raises(ModelError, match="those that ship are: bundled"):
        bundled.find("reader", root)


@pytest.mark.parametrize("content", [None, "[]", "{", '{"bundled": {}}'])
def test_broken_catalogue_is_a_sentence(root: Path, content: str | None) -> None:
    (root / "catalogue.json").unlink()
    if content is not None:
        (root / "catalogue.json").write_text(content)

    with pytest.raises(ModelError, match=r"catalogue of bundled models .* cannot be read"):
        bundled.find("bundled", root)
