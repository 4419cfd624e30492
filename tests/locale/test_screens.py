"""No word of the interface is left in English: every command speaks a made-up language.

The data of these commands is in capitals, so words with small letters are the interface's own.
"""

import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from avalan import locale
from avalan.cli import ROOT, machine, main
from avalan.cli.help import text_of
from avalan.cli.parser import Parser
from avalan.cli.tree import Group
from avalan.model.load import Model
from avalan.model.nlp import text as text_models
from avalan.testing import LocalHub, ScriptedEngine, pico_tokenizer, scripted_model

# What is not the interface's: names and values to type, units, what files call their parts.
NAMES = re.compile(
    r"default|bundled|avalon|avalon-better|base|cpt|distill|dpo|full|grown|grpo|kto|orpo|reward|embedder|reader|rules|validation|main|onnx|transformers|gguf|vllm|cpu|cuda|auto|bash"
    r"|zsh|fish|http|ms|min|ttft|ttnt|macro|syst(em)?|user|assi(stant)?|bos|eos"
    r"|Linear|Embedding|temperature"
)
COMMAND_LINE = re.compile(r"(?m)^ *(avalan|cat|echo|eval|export|pip) (\\\n|[^⟦\n])*")
COMMAND = re.compile(r"\bavalan( [a-z]+)*\b")
BRACKETS = re.compile(r"⟦[^⟦⟧]*⟧")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def left(text: str, pattern: str = "[A-Z]?[a-z]{2,}") -> list[str]:
    """The words that are neither in the made-up language nor a name or a command."""
    text = COMMAND_LINE.sub(" ", ESCAPES.sub("", text).replace("\r", "\n"))
    text = COMMAND.sub(" ", BRACKETS.sub(" ", text))
    found = re.findall(rf"(?<![-\w'/.{{]){pattern}(?![-\w'/.}}])", text)
    return [word for word in found if not NAMES.fullmatch(word)]


def test_what_is_left_is_what_nobody_translated() -> None:
    assert left("⟦Name:⟧ wide\n  avalan ask x\n⟦run: ⟧avalan cache list⟦.⟧ own NAME a.md") == [
        "wide",
        "own",
    ]


# --- help ----------------------------------------------------------------------------------------


def places(place: Group | Parser) -> Iterator[Group | Parser]:
    """Every group and parser of the command line."""
    yield place
    below = [place.choose(word) for word in place.commands] if isinstance(place, Group) else []
    for each in below or (place.verbs().values() if isinstance(place, Parser) else ()):
        yield from places(each)


@pytest.mark.usefixtures("bracketed")
def test_every_word_of_the_help_is_a_text_or_a_name() -> None:
    """Options, their values and the names of commands are; what stands for a value is a text."""
    locale.use("eo")
    for place in places(ROOT):
        text = re.sub(r"\{[^}]*\}|\[\w+\]", " ", text_of(place))  # Choices and defaults.
        if isinstance(place, Group) or place.verbs():
            text = re.sub(r"(?m)^  [a-z]+  +", "", text)
        assert left(text, "[A-Za-z]{2,}") == [], place.prog


# --- commands ------------------------------------------------------------------------------------

STORIES = {
    "index": """
        index list
        index add NOTES
        index add NOTES
        index list
        index show default
        index show default NOTES/GARDEN.md
        index search BEDS
        index search ZEBRA
        index remove default NOTES/VISITORS.txt
        index remove default
    """,
    "ask": """
        ask 'WHEN ARE THE BEDS WATERED?' --docs NOTES --model rules --trace
        ask 'WHO SELLS TEA?' --docs NOTES --model rules --trace
        ask 'WHO SELLS TEA?' --model rules --trace
        ask 'WHEN ARE THE BEDS WATERED?' --docs NOTES --retrieve always --trace
    """,
    "evaluate": """
        model evaluate --task retrieval-decision --level G0 --num 20 bundled rules
        model evaluate --task grounded-qa --level G0 --num 4 rules
    """,
    "run": """
        model run SCRIPTED HI --max-new-tokens 3 --temperature 0
        model run SCRIPTED HI --max-new-tokens 3 --display-tokens --display-probabilities
        agent init --role YOU --out AGENT.toml
        agent run AGENT.toml HI --set run.max_new_tokens=3
    """,
    "files": """
        --locale eo
        model display bundled --summary
        model display PICO
        model export PICO --out EXPORT
        model train bundled --dry-run
        tokenizer AB --tokenizer bundled
        tokenizer AB --tokenizer PICO --token '<X>' --save TOKENIZER
        cache list
        cache list --summary
    """,
}
ERRORS = """
    ask
    ask X --docs NONE
    ask X --index NONE
    ask X --docs NOTES/PICTURE.png
    ask X --questions NONE
    ask --questions NONE
    index show NONE
    index add NONE
    index search X --name NONE
    index search X --top-k 0
    model run NONE/
    model run bundled ''
    model run bundled X --temperature A
    model run bundled X --temperature -1
    model run bundled X --engine NONE
    model run bundled X --display-tokens 0
    model run bundled X --replay NONE
    model run --replay NONE
    model run --replay NOTES
    model run bundled X --record NOTES
    model train NONE
    model train bundled --set X=1 --dry-run
    model train bundled --set run.seed=A --dry-run
    model train bundled --set run.num_steps=-1 --dry-run
    model train bundled --out NOTES/GARDEN.md
    model evaluate NOTES
    model evaluate rules --num 999999999999
    model evaluate rules --task X
    model uninstall A/B
    agent run
    agent run NONE.toml
    agent run NOTES
    agent init --out AGENT.toml
    agent init --role X --out NOTES
    tokenizer
    tokenizer X --save NOTES/GARDEN.md
    cache list --model NONE
    cache delete --model NONE --yes
    cache serve --port 99999999
    cache serve --host 192.0.2.1 --port 1
    completion
    completion X
    --device X
    X
"""


def scripted() -> Model:
    """A model that says `A` again and again, where it could have said `B`."""
    folder = pico_tokenizer(Path("TOKENIZER"))
    first = scripted_model(folder, ScriptedEngine(list, vocab_size=384)).tokenizer.encode("AB")
    logits = [
        4.0 * (token_id == first[0]) + 3.5 * (token_id == first[1]) for token_id in range(384)
    ]
    return scripted_model(folder, ScriptedEngine(lambda held: logits, vocab_size=384))


def commands(lines: str) -> list[list[str]]:
    return [words for line in lines.splitlines() if (words := shlex.split(line))]


@pytest.fixture
def desk(tmp_path: Path, pico_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with notes and a model, on a machine that speaks the made-up language."""
    monkeypatch.chdir(tmp_path)
    for name in ("AVALAN_HOME", "HF_HOME", "OLLAMA_MODELS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("LANGUAGE", "eo")
    monkeypatch.setenv("COLUMNS", "300")
    # Processors bear names, and some of them words.
    monkeypatch.setattr(machine, "_cpu_name", lambda: "CPU 2.00GHz")
    Path("NOTES").mkdir()
    Path("NOTES/GARDEN.md").write_text("# GARDENS\n\nTHE BEDS ARE WATERED AT SIX IN THE EVENING.\n")
    Path("NOTES/VISITORS.txt").write_text("VISITORS PARK BEHIND THE MILL.\n")
    Path("NOTES/PICTURE.png").write_bytes(b"")
    Path("PICO").symlink_to(pico_folder)
    monkeypatch.setattr(text_models, "open_model", lambda name, settings: scripted())


def said(words: list[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> tuple[int, str]:
    """How a command ends, and what it says on both its streams."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(writer, (50, 300))
    heard: list[bytes] = []

    def listen() -> None:
        try:
            while part := os.read(reader, 1 << 16):
                heard.append(part)
        except OSError:  # So a terminal ends.
            pass

    thread = threading.Thread(target=listen)
    thread.start()
    with monkeypatch.context() as patch, open(writer, "w", encoding="utf-8") as stream:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        code = main(words)
    thread.join()
    os.close(reader)
    return code, b"".join(heard).decode()


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("story", STORIES)
@pytest.mark.usefixtures("desk", "bracketed")
def test_every_word_of_a_command_is_a_text_or_a_name(
    story: str, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in commands(STORIES[story]):
        code, text = said(words, monkeypatch, terminal=terminal)
        assert (code, left(text)) == (0, []), (words, text)


@pytest.mark.usefixtures("desk", "bracketed")
def test_every_word_of_an_error_is_a_text_or_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in commands(ERRORS):
        code, text = said(words, monkeypatch, terminal=False)
        assert (code in (1, 2), left(text)) == (True, []), (words, text)


HUB = """
    model search PICO
    cache download --model ORG/PICO
    model install ORG/PICO
    model display ORG/PICO --summary
    cache list --model ORG/PICO
    cache list
    model uninstall ORG/PICO --yes
    cache download --model ORG/NONE
    cache download --model ORG/GATED
"""
SPEAK = """
import json, sys
from pathlib import Path
from avalan import locale
from avalan.cli import main
locale._FOLDERS = (Path(sys.argv[1]),)
for words in json.loads(sys.argv[2]):
    main(words)
"""


@pytest.mark.usefixtures("desk")
def test_every_word_about_the_hub_is_a_text_or_a_name(
    local_hub: LocalHub, bracketed_folder: Path
) -> None:
    local_hub.add("ORG/PICO", Path("PICO"))
    local_hub.add("ORG/GATED", Path("PICO"), gated=True)
    done = subprocess.run(
        [sys.executable, "-c", SPEAK, bracketed_folder, json.dumps(commands(HUB))],
        env=local_hub.environment() | {"LANGUAGE": "eo"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert left(done.stdout) == [], done.stdout
