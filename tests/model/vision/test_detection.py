"""Object detection: what it finds, and what it says where it cannot."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from avalan.errors import AvalanError, ConfigurationError, ModelError
from avalan.model.entities import Box, EngineSettings, ImageEntity
from avalan.model.vision.detection import ObjectDetectionModel, box_of
from avalan.testing.detector import LABELS


def detect(folder: Path, image: object, threshold: float = 0.3) -> list[ImageEntity]:
    with ObjectDetectionModel(str(folder)) as detector:
        return asyncio.run(detector(image, threshold=threshold))


def copied(folder: Path, target: Path, **config: object) -> Path:
    shutil.copytree(folder, target)
    path = target / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return target


def test_entities_are_those_of_the_model_computed_by_hand(
    detector_folder: Path, drawing: Image.Image
) -> None:
    found = detect(detector_folder, drawing, threshold=0)

    model = transformers.DetrForObjectDetection.from_pretrained(detector_folder).eval()
    # With a shortest side of 64 the longest would be 107, above 96; so 57.6, rounded, and 96.
    pixels = drawing.resize((96, 58), Image.Resampling.BILINEAR)
    processor = transformers.AutoImageProcessor.from_pretrained(detector_folder, backend="pil")
    inputs = processor(images=pixels, return_tensors="pt", do_resize=False)
    with torch.inference_mode():
        output = model(**inputs)
    probabilities = output.logits[0].softmax(-1)[:, :-1]
    scores, labels = probabilities.max(-1)
    order = scores.argsort(descending=True)
    names = [LABELS[index] for index in labels[order].tolist()]
    assert [entity.label for entity in found] == names
    assert [entity.score for entity in found] == pytest.approx(scores[order].tolist(), abs=1e-5)
    for entity, (x, y, width, height) in zip(found, output.pred_boxes[0][order], strict=True):
        assert entity.box is not None
        assert entity.box.left == pytest.approx(max((x - width / 2).item() * 200, 0), abs=1e-2)
        assert entity.box.bottom == pytest.approx(min((y + height / 2).item() * 120, 120), abs=1e-2)


def test_threshold_leaves_out_what_is_less_sure(
    detector_folder: Path, drawing: Image.Image
) -> None:
    every = detect(detector_folder, drawing, threshold=0)
    middle = every[2].score

    assert len({entity.score for entity in every}) == len(every)
    assert [entity.score for entity in every] == sorted(
        (entity.score for entity in every), reverse=True
    )
    assert detect(detector_folder, drawing, threshold=middle) == every[:2]
    assert detect(detector_folder, drawing, threshold=1) == []


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ((-3.0, 5.0, 260.0, 130.0), Box(left=0, top=5, right=200, bottom=120)),
        ((210.0, -9.0, 220.0, -1.0), Box(left=200, top=0, right=200, bottom=0)),
    ],
)
def test_box_is_cut_at_the_edges(corners: tuple[float, ...], box: Box) -> None:
    assert box_of(corners, (200, 120)) == box


def test_boxes_stay_inside_the_image(detector_folder: Path, drawing: Image.Image) -> None:
    for entity in detect(detector_folder, drawing, threshold=0):
        box = entity.box
        assert box is not None
        assert 0 <= box.left <= box.right <= 200
        assert 0 <= box.top <= box.bottom <= 120


def test_path_bytes_and_pillow_are_seen_alike(
    detector_folder: Path, drawing: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "drawing.png"
    drawing.save(path)

    seen = detect(detector_folder, drawing)

    assert seen
    assert detect(detector_folder, str(path)) == seen
    assert detect(detector_folder, path) == seen
    assert detect(detector_folder, path.read_bytes()) == seen


def test_entity_reads_as_a_line() -> None:
    box = Box(left=13.4, top=52.0, right=345.6, bottom=470.0)

    assert str(ImageEntity(label="cat", score=0.987, box=box)) == "cat 0.99 at (13, 52)–(346, 470)"
    assert str(ImageEntity(label="cat", score=0.5)) == "cat 0.50"


def test_label_cannot_drive_the_terminal(
    detector_folder: Path, drawing: Image.Image, tmp_path: Path
) -> None:
    evil = copied(detector_folder, tmp_path / "evil", id2label=dict.fromkeys(range(3), "\x1b[2Jx"))

    assert {entity.label for entity in detect(evil, drawing)} == {"\N{REPLACEMENT CHARACTER}[2Jx"}


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_threshold_outside_its_range_is_refused(
    detector_folder: Path, drawing: Image.Image, threshold: float
) -> None:
    with pytest.raises(ConfigurationError, match=r"threshold is .*, but it must be from 0 to 1"):
        detect(detector_folder, drawing, threshold)


def test_text_file_is_not_looked_at(detector_folder: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no image")

    with pytest.raises(ConfigurationError, match="is not an image that avalan reads"):
        detect(detector_folder, notes)


def test_line_of_pixels_is_refused_with_its_size(detector_folder: Path) -> None:
    with pytest.raises(ModelError, match="image of 5,000 × 1 pixels; cut it"):
        detect(detector_folder, Image.new("RGB", (5_000, 1)))


def test_language_model_is_not_a_detector(pico_folder: Path) -> None:
    with (
        pytest.raises(ModelError, match=r"LlamaForCausalLM, which is not one that finds objects"),
        ObjectDetectionModel(str(pico_folder)),
    ):
        pass


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"architectures": ["DetrForSegmentation"]}, "of the kind DetrForSegmentation"),
        ({"architectures": None, "model_type": "resnet"}, "of the kind resnet"),
        ({"architectures": ["NewestDetector"], "model_type": "newest"}, "of the kind newest"),
    ],
)
def test_kind_is_told_by_the_configuration(
    detector_folder: Path, tmp_path: Path, config: dict[str, object], what: str
) -> None:
    other = copied(detector_folder, tmp_path / "other", **config)

    with pytest.raises(ModelError, match=what), ObjectDetectionModel(str(other)):
        pass


def test_model_without_all_of_its_weights_is_refused(detector_folder: Path, tmp_path: Path) -> None:
    """transformers would make them up at random."""
    part = copied(detector_folder, tmp_path / "part")
    weights = load_file(part / "model.safetensors")
    kept = {name: row for name, row in weights.items() if "bbox_predictor" not in name}
    save_file(kept, part / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match=r"lack 6 of the weights .* bbox_predictor"):
        detect(part, Image.new("RGB", (64, 64)))


def test_broken_weights_are_said_to_be(detector_folder: Path, tmp_path: Path) -> None:
    broken = copied(detector_folder, tmp_path / "broken")
    path = broken / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])

    with (
        pytest.raises(ModelError, match="not in the safetensors format, or was cut off"),
        ObjectDetectionModel(str(broken)),
    ):
        pass


def test_model_without_an_image_processor_says_so(detector_folder: Path, tmp_path: Path) -> None:
    bare = copied(detector_folder, tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()

    with (
        pytest.raises(ModelError, match=r"What prepares the input of .* cannot be loaded"),
        ObjectDetectionModel(str(bare)),
    ):
        pass


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (EngineSettings(engine="onnx"), "'onnx' runs no model that finds objects"),
        (EngineSettings(tokens=("<x>",)), "tokens is for language models, but this one finds obj"),
        (EngineSettings(device="toaster"), "no device 'toaster'"),
        (EngineSettings(weight_type="fp3"), "no weight type called 'fp3'"),
    ],
)
def test_setting_that_cannot_be_honoured_is_refused(
    detector_folder: Path, settings: EngineSettings, what: str
) -> None:
    with (
        pytest.raises(AvalanError, match=what),
        ObjectDetectionModel(str(detector_folder), settings),
    ):
        pass


def test_weight_type_is_that_of_the_settings(detector_folder: Path, drawing: Image.Image) -> None:
    settings = EngineSettings(weight_type="bf16")
    with ObjectDetectionModel(str(detector_folder), settings) as detector:
        assert detector.loaded.model.dtype == torch.bfloat16
        assert asyncio.run(detector(drawing))


def test_no_torchvision_is_imported(detector_folder: Path, drawing: Image.Image) -> None:
    assert detect(detector_folder, drawing)
    assert not {"torchvision", "timm"} & set(sys.modules)


def test_module_is_light_and_a_missing_extra_is_an_instruction() -> None:
    script = (
        "import sys\n"
        "sys.modules['PIL'] = None\n"
        "from avalan.errors import MissingExtra\n"
        "from avalan.model.vision.detection import ObjectDetectionModel\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
        "try:\n"
        "    ObjectDetectionModel('org/model').open()\n"
        "except MissingExtra as error:\n"
        "    print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "needs the package 'PIL', which is not installed; run: pip install" in done.stdout
    assert "[vision]" in done.stdout
