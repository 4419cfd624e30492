"""Images from files, bytes and Pillow: whole, upright, in RGB. No torchvision."""

import io
import os
import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from avalan.errors import ConfigurationError, reason_of
from avalan.locale import _, ngettext

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
        return _checked(_in_rgb(source), _("The given image"))
    if isinstance(source, bytes):
        name = ngettext("The image of {n:,} byte", "The image of {n:,} bytes", len(source))
        return _decode(io.BytesIO(source), name)
    if not os.fspath(source):
        raise ConfigurationError("The path of the image is empty; give the path of an image.")
    path = Path(source)
    if path.is_dir():
        raise ConfigurationError(
            "The image file {path!r} is a folder; give the path of an image.", path=os.fspath(path)
        )
    if path.exists() and not path.is_file():
        raise ConfigurationError(
            "{path!r} is a device or a pipe and no image file; give the path of an image.",
            path=os.fspath(path),
        )
    if not path.is_file():
        raise ConfigurationError(
            "The image file {path!r} does not exist; give the path of an image.",
            path=os.fspath(path),
        )
    return _decode(path, _("The image file {path!r}", path=os.fspath(path)))


def _decode(file: Path | io.BytesIO, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                return _checked(_in_rgb(ImageOps.exif_transpose(image)), name)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ConfigurationError(
            "{name} would have more than {most:,} pixels once decoded, which may be an "
            "attack; make it smaller first.",
            name=name,
            most=Image.MAX_IMAGE_PIXELS,
        ) from None
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise ConfigurationError(
            "{name} is not an image that avalan reads; give one of these: {known}.",
            name=name,
            known=known,
        ) from None
    except ConfigurationError:
        raise
    except Exception as error:  # every decoder fails in its own way on damaged bytes
        raise ConfigurationError(
            "{name} is damaged or cut off ({why}); save or download it again.",
            name=name,
            why=reason_of(error),
        ) from error


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would cut 16 bits off at 255 where they should be scaled.
        image = image.point(lambda value: value / 256).convert("L")
    return image.convert("RGB")


def _checked(image: Image.Image, name: str) -> Image.Image:
    if not (image.width and image.height):
        raise ConfigurationError("{name} has no pixels; give one with at least one.", name=name)
    return image
