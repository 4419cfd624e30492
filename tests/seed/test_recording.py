"""The README's two blocks that make a small GIF from a recording."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageSequence

PALETTE = Path("/tmp/recording_palette.png")
GIF = "docs/images/recording.gif"

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@pytest.fixture(autouse=True)
def _palette() -> Iterator[None]:
    """The README names its place; if something lies there, ffmpeg asks first, and it comes back."""
    kept = PALETTE.read_bytes() if PALETTE.exists() else None
    PALETTE.unlink(missing_ok=True)
    yield
    PALETTE.unlink(missing_ok=True)
    if kept is not None:
        PALETTE.write_bytes(kept)


def colours(image: Image.Image) -> set[Any]:
    """Every colour in it."""
    return {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or ()}


def test_a_recording_becomes_a_small_gif_in_the_colours_of_its_palette(checkout: Any) -> None:
    """Two pictures a second, 480 wide, and no colour that the palette lacks."""
    source = "testsrc=duration=3:size=640x480:rate=30"
    checkout.run(f"ffmpeg -f lavfi -i {source} recording.mov")

    checkout.paste("palette")
    checkout.paste("gif")

    with Image.open(PALETTE) as palette, Image.open(checkout.folder / GIF) as gif:
        allowed = colours(palette)
        assert len(allowed) > 100
        assert gif.size == (480, 360)
        frames = ImageSequence.all_frames(gif)
        assert [frame.info["duration"] for frame in frames] == [500] * 6
        assert all(colours(frame) <= allowed for frame in frames)
        assert len({frame.tobytes() for frame in frames}) > 1  # What moved moves.
