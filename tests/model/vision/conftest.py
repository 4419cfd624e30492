"""A detector with random weights, built once, and a drawing for it to look at."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from avalan import testing


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random DETR."""
    return testing.pico_detr(tmp_path_factory.mktemp("pico-detr"))


@pytest.fixture
def drawing() -> Image.Image:
    """A red circle and a blue rectangle on white, 200 × 120 pixels."""
    image = Image.new("RGB", (200, 120), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 80, 80), fill="red")
    draw.rectangle((120, 30, 180, 100), fill="blue")
    return image
