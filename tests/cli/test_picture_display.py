"""The pictures of the token display, which `make recordings` draws."""

import runpy
import shutil
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"


def test_recordings_are_drawn_again_without_a_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for recording in IMAGES.glob("*.jsonl"):
        shutil.copy(recording, tmp_path)
    script = runpy.run_path(str(ROOT / "scripts" / "recordings.py"))
    assert script["main"](["--keep", "--folder", str(tmp_path)]) == 0
    drawn = {path.name: path.read_text() for path in tmp_path.glob("*.svg")}
    assert drawn == {path.name: path.read_text() for path in IMAGES.glob("*.svg")}
    assert len(drawn) == 2 * len(script["SHOTS"])


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_is_small_and_loads_nothing(path: Path) -> None:
    text = path.read_text()
    assert len(text) < 50_000
    assert "url(http" not in text
    assert "@import" not in text
    assert "@font-face" not in text
    assert xml.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
