"""Object detection: an image in, what is on it and where out."""

from collections.abc import Sequence
from threading import Event
from typing import TYPE_CHECKING, Any

from avalan import extras
from avalan.errors import ConfigurationError, ModelError
from avalan.locale import _n
from avalan.model.entities import Box, ImageEntity
from avalan.model.task import Task, TaskModel
from avalan.model.vision.timm import without_timm

if TYPE_CHECKING:
    from PIL.Image import Image

    from avalan.model.pretrained import Pretrained
    from avalan.model.vision.image import ImageSource


class ObjectDetectionModel(TaskModel):
    """A detector such as DETR, by name; load it with `with`, then call it.

    Example:
        ```python
        with ObjectDetectionModel("facebook/detr-resnet-50") as detector:
            for entity in await detector("street.jpg"):
                print(entity)
        ```
    """

    task = Task(
        does=_n("finds objects in images"),
        example="facebook/detr-resnet-50",
        extra="vision",
        model_class="AutoModelForObjectDetection",
        known_classes="MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES",
        processor_class="AutoImageProcessor",
        processor_options={"backend": "pil"},  # The other one needs torchvision.
        modules=("avalan.model.vision.image",),
        adapt=without_timm,
    )

    async def __call__(self, image: "ImageSource", threshold: float = 0.3) -> list[ImageEntity]:
        """What is on `image`, the surest first.

        Args:
            image: a path, the bytes of a file, or an image of Pillow's.
            threshold: leave out what the model is less sure of; a probability, 0 to 1.

        Raises:
            ConfigurationError: the image cannot be read, or the threshold is out of its range.
            ModelError: the model cannot take an image of this size.
        """
        if not 0 <= threshold <= 1:
            raise ConfigurationError(
                "The threshold is {threshold}, but it must be from 0 to 1.", threshold=threshold
            )
        return await self._run(_detect, image, threshold)


def _detect(
    loaded: "Pretrained", _cancelled: Event, source: "ImageSource", threshold: float
) -> list[ImageEntity]:
    image = extras.load("avalan.model.vision.image").open_image(source)
    outputs = loaded.forward(_prepared(loaded, image))
    found = loaded.processor.post_process_object_detection(
        outputs, threshold=threshold, target_sizes=[(image.height, image.width)]
    )[0]
    labels = loaded.model.config.id2label
    rows = zip(*(found[key].tolist() for key in ("scores", "labels", "boxes")), strict=True)
    entities = [
        ImageEntity(
            label=_printable(labels.get(index, f"object {index}")),
            score=score,
            box=box_of(corners, image.size),
        )
        for score, index, corners in rows
    ]
    return sorted(entities, key=lambda entity: -entity.score)


def _prepared(loaded: "Pretrained", image: "Image") -> Any:
    try:
        return loaded.processor(images=image, return_tensors="pt")
    except ValueError as error:  # A line of pixels is scaled to no pixels.
        raise ModelError(
            "The model {model!r} cannot take an image of {width:,} × {height:,} pixels; cut it to "
            "a less extreme shape.",
            model=loaded.name,
            width=image.width,
            height=image.height,
        ) from error


def box_of(corners: Sequence[float], size: tuple[int, int]) -> Box:
    """The rectangle, cut at the edges of the image, beyond which a model may point."""
    left, right = (min(max(x, 0.0), size[0]) for x in corners[0::2])
    top, bottom = (min(max(y, 0.0), size[1]) for y in corners[1::2])
    return Box(left=left, top=top, right=right, bottom=bottom)


def _printable(label: str) -> str:
    """`label` without what could drive a terminal: it came with the model."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in label
    )
