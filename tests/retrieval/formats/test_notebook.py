"""Notebooks: cells are places; what code printed counts, up to a bound."""

import json
from pathlib import Path
from typing import Any

import pytest

from avalan.retrieval.documents import Block, Unreadable, survey


def block(folder: Path, notebook: Any) -> Block:
    path = folder / "a.ipynb"
    path.write_bytes(notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode())
    (found,) = survey(path).blocks()
    return found


def test_prose_code_and_outputs_at_their_cells(tmp_path: Path, samples: dict[str, bytes]) -> None:
    found = block(tmp_path, samples["a.ipynb"])
    assert found.text == ("# Sums\n\nTwo numbers.\n\nx = 1\nx + 1\n\nhello\n2\nNameError: no y\n\n")
    assert found.places == ((0, "cell 1"), (22, "cell 2"))
    assert [each.title for each in found.headings] == ["Sums"]


def test_long_output_is_cut_and_empty_cells_are_counted(tmp_path: Path) -> None:
    empty = {"cell_type": "code", "source": "", "outputs": []}
    long = {"cell_type": "code", "source": "x", "outputs": [{"text": "y" * 9999}]}
    found = block(tmp_path, {"cells": [empty, long]})
    assert len(found.text) == len("x\n\n\n\n") + 2000
    assert found.places == ((0, "cell 2"),)


def test_the_older_version_has_its_cells_in_sheets(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "input": ["a = 1"]}, {"cell_type": "markdown", "source": "b"}]
    assert block(tmp_path, {"worksheets": [{"cells": cells}]}).text == "a = 1\n\nb\n\n"


def test_what_no_text_can_hold_is_replaced(tmp_path: Path) -> None:
    found = block(tmp_path, b'{"cells": [{"source": "a\\u0000b\\ud800c"}]}')
    assert found.text == "a b���c\n\n"


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"cells": 1}',
        b'{"a": 1}',
        b"[" * 100_000,
        b'{"cells": [' + b"1" * 5000 + b"]}",
    ],
)
def test_what_is_no_notebook_is_damaged(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Unreadable, match="it is damaged, or not what its name says"):
        block(tmp_path, data)
