"""The examples run: the four of the first README as it wrote them, and those in docs/examples."""

import io
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from avalan import testing

HERE = Path(__file__).parent
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = FENCED.findall((HERE / "blocks.md").read_text(encoding="utf-8"))
ENTITY = re.compile(r"(circle|square|triangle) [01]\.\d\d at \(\d+, \d+\)–\(\d+, \d+\)")
NAMES = {
    "TextGenerationModel": ("meta-llama/Meta-Llama-3-8B-Instruct", testing.pico_llama),
    "ObjectDetectionModel": ("facebook/detr-resnet-50", testing.pico_detr),
    "SequenceToSequenceModel": ("facebook/bart-large-cnn", testing.pico_bart),
    "TranslationModel": ("facebook/mbart-large-50-many-to-many-mmt", testing.pico_mbart50),
}


@pytest.fixture(scope="session")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("drawing") / "drawing.png"
    image = Image.new("RGB", (200, 120), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 80, 80), fill="red")
    draw.rectangle((120, 30, 180, 100), fill="blue")
    image.save(place)
    return place


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A pico model of each kind, under the name that the README gives it."""
    place = tmp_path_factory.mktemp("models")
    return {name: make(place / name.replace("/", "--")) for name, make in NAMES.values()}


# Each block as a program of its own, in one interpreter: torch takes seconds to import.
DRIVER = """
import runpy, sys
from contextlib import redirect_stdout

place, image = sys.argv[1:]
for number in range(4):
    sys.argv = [f"{place}/{number}.py"] + ([image] if number == 1 else [])
    with open(f"{place}/{number}.out", "w", encoding="utf-8", newline="") as out:
        with redirect_stdout(out):
            runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def printed(
    tmp_path_factory: pytest.TempPathFactory, folders: dict[str, Path], drawing: Path
) -> list[str]:
    """What each block of the README prints, its model downloaded under the name it writes."""
    place = tmp_path_factory.mktemp("blocks")
    for number, block in enumerate(BLOCKS):
        (place / f"{number}.py").write_text(block, encoding="utf-8")
    with testing.LocalHub() as hub:
        for name, folder in folders.items():
            hub.add(name, folder, gated=name.startswith("meta-llama/"))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", DRIVER, str(place), str(drawing)],
            env=hub.environment(token=hub.token),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert hub.num_requests("model.safetensors") == len(BLOCKS)
    return [(place / f"{number}.out").read_text("utf-8") for number in range(len(BLOCKS))]


def test_the_readme_has_a_block_for_each_model() -> None:
    assert len(BLOCKS) == len(NAMES)
    for block, (kind, (name, _)) in zip(BLOCKS, NAMES.items(), strict=True):
        assert f'{kind}("{name}")' in block


def test_text_generation_of_the_readme_runs_as_written(printed: list[str]) -> None:
    assert printed[0].startswith("Loading model... DONE.\n")
    assert len(printed[0]) > 100


def test_detection_of_the_readme_runs_as_written(printed: list[str], drawing: Path) -> None:
    first, *entities = printed[1].splitlines()
    assert first == f"Loading model... DONE. Running classification for {drawing}"
    assert entities
    assert all(ENTITY.fullmatch(entity) for entity in entities)


def test_summary_of_the_readme_runs_as_written(printed: list[str]) -> None:
    loaded, summary = printed[2].split("\n", 1)
    assert loaded == "Loading model... DONE."
    assert summary.strip()


def test_translation_of_the_readme_runs_as_written(printed: list[str]) -> None:
    loaded, text, line, translation = printed[3].split("\n", 3)
    assert loaded == "Loading model... DONE."
    assert text.startswith("Lionel Messi, commonly known as Leo Messi, is an Argentine")
    assert line == "-" * 12
    assert translation.strip()


def example(monkeypatch: pytest.MonkeyPatch, name: str, *words: object, stdin: str = "") -> None:
    path = EXAMPLES / name
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, words)])
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    runpy.run_path(str(path), run_name="__main__")


TEXT = "A footballer was born in July."


def test_docs_examples_run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folders: dict[str, Path],
    drawing: Path,
) -> None:
    """In this process: each would import torch again."""
    detector, bart, mbart = (
        folders[NAMES[kind][0]]
        for kind in ("ObjectDetectionModel", "SequenceToSequenceModel", "TranslationModel")
    )
    copy = drawing.with_name("copy.png")

    def shown(name: str, *words: object, stdin: str = "") -> str:
        example(monkeypatch, name, *words, stdin=stdin)
        return capsys.readouterr().out

    assert re.search(r"\n\n\d+ tokens\n$", shown("text_generation.py", "Who are you?"))
    counted = shown("vision_image_classification.py", drawing, detector)
    assert re.fullmatch(r"(\d × (circle|square|triangle)\n)+", counted)
    entities = shown("vision_object_detection.py", drawing, copy, detector).splitlines()
    assert entities
    assert all(ENTITY.fullmatch(entity) for entity in entities)
    assert Image.open(copy).tobytes() != Image.open(drawing).tobytes()
    assert shown("seq2seq_summarization.py", bart, stdin=TEXT).strip()
    assert shown("seq2seq_translation.py", "en", "es", mbart, stdin=TEXT).strip()


@pytest.mark.parametrize(
    "name",
    ["vision_image_classification.py", "vision_object_detection.py", "seq2seq_translation.py"],
)
def test_example_without_its_words_says_which(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SystemExit, match=rf"Usage: \S+{name} [A-Z]"):
        example(monkeypatch, name)


@pytest.mark.parametrize(
    ("name", "words", "sentence"),
    [
        ("vision_image_classification.py", ("nowhere.png", "{detector}"), "nowhere.png"),
        ("vision_object_detection.py", (__file__, "copy.png", "{detector}"), "test_examples.py"),
        ("seq2seq_summarization.py", ("{bart}",), "text is empty"),
        ("text_generation.py", ("Hi", "no/such/model"), "'no/such/model'"),
    ],
)
def test_an_example_with_bad_input_ends_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    folders: dict[str, Path],
    name: str,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    detector, bart = (
        folders[NAMES[kind][0]] for kind in ("ObjectDetectionModel", "SequenceToSequenceModel")
    )
    given = [word.format(detector=detector, bart=bart) for word in words]
    with pytest.raises(SystemExit) as ended:
        example(monkeypatch, name, *given)
    assert sentence in str(ended.value.code)


def test_every_example_is_run_here() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    here = Path(__file__).read_text(encoding="utf-8")
    assert not [name for name in names if f'shown("{name}"' not in here]


@pytest.mark.parametrize(
    ("name", "words"), [("text_generation", "a b c"), ("seq2seq_summarization", "a b")]
)
def test_an_example_with_too_many_words_says_how_it_is_used(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [name, *words.split()])
    with pytest.raises(SystemExit, match=rf"Usage: .*{name}"):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
