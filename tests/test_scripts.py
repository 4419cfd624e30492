"""The scripts behind `make check` see what they are there to see."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / f"{name}.py"))


@pytest.mark.parametrize(
    ("licence", "permissive"),
    [
        ("MIT", True),
        ("BSD-3-Clause AND Zlib", True),
        ("MIT OR GPL-2.0-only", True),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", True),
        ("Mozilla Public License 2.0 (MPL 2.0)", True),
        ("GPL-3.0-or-later", False),
        ("MIT AND AGPL-3.0-only", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("LGPL-2.1+", False),
        ("GPLv3", False),
    ],
)
def test_copyleft_licences_are_recognised(licence: str, permissive: bool) -> None:
    assert script("check_licences")["is_permissive"](licence) is permissive


def test_a_wheel_that_is_heavy_or_holds_the_wrong_files_is_refused() -> None:
    inspect = script("check_wheel")["inspect"]
    assert inspect(44_000_000, ["avalan/py.typed", "avalan/model/bundled/nano/model.onnx"]) == []
    assert inspect(46_000_000, ["avalan/py.typed"]) == ["has 46.0 MB, more than 45"]
    assert inspect(1, ["avalan/py.typed", "avalan/x.safetensors"]) == ["holds avalan/x.safetensors"]
    assert inspect(1, ["tests/x.py"]) == ["holds tests/x.py", "has no py.typed"]


def test_the_pinned_torch_is_read_from_the_project() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "pinned.py", "torch"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "torch==2.13.0"
