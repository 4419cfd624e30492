"""Draw what was found on a copy of an image: python vision_object_detection.py IMAGE COPY [MODEL]

Needs the extra `vision`.
"""

import asyncio
import sys

from PIL import Image, ImageDraw

from avalan.errors import AvalanError
from avalan.model.vision.detection import ObjectDetectionModel


async def example(source: str, copy: str, model: str = "facebook/detr-resnet-50") -> None:
    with ObjectDetectionModel(model) as detect:
        entities = await detect(source)
    image = Image.open(source).convert("RGB")
    draw = ImageDraw.Draw(image)
    for entity in entities:
        print(entity)
        box = entity.box
        draw.rectangle((box.left, box.top, box.right, box.bottom), outline="red", width=3)
        draw.text((box.left + 5, box.top + 5), entity.label, fill="red")
    try:
        image.save(copy)
    except (OSError, ValueError) as error:  # No such folder; or a suffix that Pillow does not know.
        sys.exit(f"The copy cannot be written to {copy} ({error}); give another path.")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(f"Usage: {sys.argv[0]} IMAGE COPY [MODEL]")
    try:
        asyncio.run(example(*sys.argv[1:]))
    except AvalanError as error:
        sys.exit(str(error))
