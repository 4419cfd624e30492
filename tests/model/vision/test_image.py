"""What becomes of an image before a model sees it."""

import io
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from avalan.errors import ConfigurationError
from avalan.model.vision.image import FORMATS, open_image

RED, GREEN = (255, 0, 0), (0, 255, 0)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_is_read_from_bytes_and_from_a_path(
    tmp_path: Path, drawing: Image.Image, kind: str
) -> None:
    path = tmp_path / "drawing"
    path.write_bytes(encoded(drawing, kind))

    for source in (path, str(path), path.read_bytes()):
        image = open_image(source)
        assert (image.mode, image.size) == ("RGB", drawing.size)
        # JPEG and a palette of 256 colours are not exact.
        red, _, blue = image.getpixel((150, 65))
        assert red < 20
        assert blue > 235


def test_image_of_pillow_stays_as_its_owner_has_it(drawing: Image.Image) -> None:
    drawing.getexif()[0x0112] = 6

    assert open_image(drawing).tobytes() == drawing.tobytes()


def test_photo_is_turned_as_its_camera_says(drawing: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was held turned to the left.

    image = open_image(encoded(drawing, exif=exif))

    assert image.size == (120, 200)
    assert image.tobytes() == drawing.rotate(-90, expand=True).tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "F"])
def test_every_mode_becomes_rgb(drawing: Image.Image, mode: str) -> None:
    assert open_image(drawing.convert(mode)).mode == "RGB"


def test_sixteen_bits_are_scaled_not_cut_off() -> None:
    grey = Image.fromarray(np.array([[0, 256, 32768, 65535]], np.uint16))

    assert open_image(encoded(grey)).getchannel("R").tobytes() == bytes([0, 1, 128, 255])


def test_animation_gives_its_first_frame() -> None:
    first, second = (Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN))
    animation = encoded(first, "GIF", save_all=True, append_images=[second])

    assert open_image(animation).getpixel((0, 0)) == RED


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("none.png", None, "'none.png' does not exist"),
        (".", None, "'.' is a folder"),
        ("", None, "path of the image is empty"),
        ("/dev/null", None, "'/dev/null' is a device or a pipe"),
        ("notes.txt", b"no image", "'notes.txt' is not an image that avalan reads; give one of"),
        ("empty.png", b"", "'empty.png' is not an image"),
        # Pillow would start another program to read it.
        ("page.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
    ],
)
def test_file_without_an_image_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes | None,
    what: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content)

    with pytest.raises(ConfigurationError) as caught:
        open_image(name)

    assert what in str(caught.value)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_image_is_said_to_be_cut_off(kind: str) -> None:
    noise = Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3))
    whole = encoded(noise, kind)

    with pytest.raises(ConfigurationError, match=r"damaged or cut off|is not an image"):
        open_image(whole[: len(whole) // 2])


@pytest.mark.parametrize("times", [1.5, 3])
def test_decompression_bomb_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch, times: float
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    bomb = encoded(Image.new("1", (int(1_000 * times), 1)))

    with pytest.raises(ConfigurationError, match="more than 1,000 pixels once decoded"):
        open_image(bomb)


@given(st.data())
def test_damaged_bytes_never_end_in_anything_but_a_sentence(data: st.DataObject) -> None:
    image = Image.new("RGB", (8, 8), RED)
    kind = data.draw(st.sampled_from(FORMATS))
    content = bytearray(encoded(image, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))

    with suppress(ConfigurationError):
        assert open_image(bytes(content)).mode == "RGB"


def test_image_without_pixels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no pixels"):
        open_image(Image.new("RGB", (0, 5)))
