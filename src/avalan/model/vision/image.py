"""Images from files, bytes and Pillow: whole, upright, in RGB. No torchvision."""

import io
import os
import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from avalan.errors import ConfigurationError

ImageSource = str | os.PathLike[str] | bytes | Image.Image
"""A path, the bytes of a file, or an image of Pillow's."""

# Not every format that Pillow knows: some hand the file to another program.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


def open_image(source: ImageSource) -> Image.Image:
    """The image in `source`, decoded, in RGB; of an animation its first frame.

    A photo is turned as its camera says; an image of Pillow's stays as its owner has it.

    Raises:
        ConfigurationError: there is no such file, it holds no image of a known format, it is
            damaged, or it has more pixels than are safe to decode.
    """
    if isinstance(source, Image.Image):
        return _checked(_in_rgb(source), "The given image")
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), f"The image of {len(source):,} bytes")
    path = Path(source)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigurationError(
            f"The image file {os.fspath(path)!r} {what}; give the path of an image."
        )
    return _decode(path, f"The image file {os.fspath(path)!r}")


def _decode(file: Path | io.BytesIO, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                return _checked(_in_rgb(ImageOps.exif_transpose(image)), name)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ConfigurationError(
            f"{name} would have more than {Image.MAX_IMAGE_PIXELS:,} pixels once decoded, which "
            "may be an attack; make it smaller first."
        ) from None
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise ConfigurationError(
            f"{name} is not an image that avalan reads; give one of these: {known}."
        ) from None
    except ConfigurationError:
        raise
    except Exception as error:  # every decoder fails in its own way on damaged bytes
        why = (str(error) or type(error).__name__).partition("\n")[0].rstrip(".")
        raise ConfigurationError(
            f"{name} is damaged or cut off ({why}); save or download it again."
        ) from error


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would cut 16 bits off at 255 where they should be scaled.
        image = image.point(lambda value: value / 256).convert("L")
    return image.convert("RGB")


def _checked(image: Image.Image, name: str) -> Image.Image:
    if not (image.width and image.height):
        raise ConfigurationError(f"{name} has no pixels; give one with at least one.")
    return image
