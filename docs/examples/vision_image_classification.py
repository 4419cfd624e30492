"""Say what is in an image: python vision_image_classification.py IMAGE [MODEL]

Needs the extra `vision`.
"""

import asyncio
import sys
from collections import Counter

from avalan.errors import AvalanError
from avalan.model.vision.detection import ObjectDetectionModel


async def example(image: str, model: str = "facebook/detr-resnet-50") -> None:
    with ObjectDetectionModel(model) as detect:
        entities = await detect(image, threshold=0.5)
    for label, count in Counter(entity.label for entity in entities).most_common():
        print(f"{count} × {label}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(f"Usage: {sys.argv[0]} IMAGE [MODEL]")
    try:
        asyncio.run(example(*sys.argv[1:]))
    except AvalanError as error:
        sys.exit(str(error))
