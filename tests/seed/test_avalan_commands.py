"""The README's `avalan …` blocks, pasted as it wrote them into a shell on a terminal.

The words come from commands.md; what is prepared is the machine around them: a hub that serves
pico models under the README's names, a cache, and the token in HF_ACCESS_TOKEN.
"""

import hashlib
import importlib.util
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import pre_tokenizers

from avalan import extras, testing
from avalan.compress.export import export
from avalan.model.prompt import load_tokenizer

# One cache and one hub for all of them.

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("seed_readme", ROOT / "scripts" / "seed_readme.py")
assert _spec
assert _spec.loader
seed_readme = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(seed_readme)
COMMANDS: Mapping[str, str] = seed_readme.commands()

LLAMA = "meta-llama/Meta-Llama-3-8B-Instruct"
CHAT = "deepseek-ai/deepseek-llm-7b-chat"
REASONER = "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"
PHI = "microsoft/Phi-4-mini-instruct"
BERT = "hf-internal-testing/tiny-random-bert"
ABOUT_MESSI = (
    *("Lionel", " Messi", " (born", " 1987)", " became", " known", " as", " that", " little"),
    *(" great", " footballer", " of", " Argentina", " who", " led", " Barcelona."),
)
COUNTS = (
    "Hello!",
    " Let",
    " me",
    " count:",
    *(f" {number}," for number in range(1, 111)),
    " done.",
)
WAVERS = {" 20,": "#", " 70,": "$", " 107,": "%"}
"""Where the chat model nearly says something else, and what."""
REASONS = (" A", " teacher", " instructs", " students", ".\n", "</think>", "\n\n", "Distilled:")
REASONS = (*REASONS, " one", " model", " learns", " from", " another's", " words.")
TOKEN = "<avalan_special_token>"
TEMPLATE = """\
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

#: src/prompt.py:1
msgid "Good morning"
msgstr ""
"""
TRANSLATED = TEMPLATE[: -len('""\n')] + '"Buenos días"\n'

COLUMNS, ROWS = 100, 40
CONTROL = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]")
FRAME = "\x1b[?2026h"
"""Begins what a live screen draws at once."""


class Shown(NamedTuple):
    """What a terminal saw."""

    text: str
    """Without colours and movements."""
    raw: str

    @property
    def frames(self) -> list[str]:
        """The pictures of a live screen, as text."""
        return [CONTROL.sub("", each) for each in self.raw.split(FRAME)[1:]]


class Machine:
    """The README's reader's: a folder to work in, a cache, a terminal, avalan installed."""

    def __init__(self, folder: Path, hub: testing.LocalHub) -> None:
        self.folder, self.hub, self.cache = folder, hub, folder / "cache"
        (folder / "home").mkdir()

    def paste(
        self, block: str, *typed: tuple[str, str], code: int | None = 0, instead: str | None = None
    ) -> Shown:
        """Run a block in a shell on a terminal.

        Args:
            typed: what is typed, each once a text was seen.
            code: that it must end with; None for any.
            instead: other words than the block's.
        """
        leader, follower = pty.openpty()
        termios.tcsetwinsize(follower, (ROWS, COLUMNS))
        process = subprocess.Popen(
            ["bash", "-c", COMMANDS[block] if instead is None else instead],
            cwd=self.folder,
            env=self.environment(),
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        try:
            raw = _read(leader, typed)
        finally:
            os.close(leader)
            if process.poll() is None:
                _end(process)
        shown = Shown(CONTROL.sub("", raw), raw)
        assert "Traceback" not in shown.text, shown.text
        assert "Warning" not in shown.text, shown.text
        assert code in (None, process.returncode), shown.text
        return shown

    def environment(self) -> dict[str, str]:
        given = self.hub.environment(cache_dir=self.cache) | {
            "AVALAN_HOME": str(self.folder / "home"),
            "HF_ACCESS_TOKEN": self.hub.token,
            "LANG": "C.UTF-8",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TERM": "xterm-256color",
        }
        others = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "LC_ALL", "LANGUAGE")
        return {name: value for name, value in given.items() if name not in others}

    def hold(self, name: str, snapshots: Mapping[str, Path]) -> Path:
        """Put revisions, commit → files, into the cache, as a download does; the last is `main`."""
        place = self.place(name)
        for commit, folder in snapshots.items():
            for file in filter(Path.is_file, folder.rglob("*")):
                blob = place / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
                link = place / "snapshots" / commit / file.relative_to(folder)
                if not link.exists():
                    blob.parent.mkdir(parents=True, exist_ok=True)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, blob)
                    link.symlink_to(blob)
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / "main").write_text(list(snapshots)[-1])
        return place

    def place(self, name: str) -> Path:
        """Where the cache keeps a model."""
        return self.cache / f"models--{name.replace('/', '--')}"


def _read(leader: int, typed: Sequence[tuple[str, str]]) -> str:
    """All that comes, while a person types."""
    waiting, data, seen = list(typed), b"", 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([leader], [], [], 0.5)[0]:
            continue
        try:
            piece = os.read(leader, 1 << 16)
        except OSError:  # The other end is closed.
            piece = b""
        if not piece:
            assert not waiting, f"was not asked {waiting[0][0]!r}: {data.decode()}"
            return re.sub("\r+\n", "\n", data.decode())
        data += piece
        if waiting and (found := data.find(waiting[0][0].encode(), seen)) >= 0:
            seen = found + 1
            os.write(leader, waiting.pop(0)[1].encode() + b"\n")
    raise AssertionError(f"still running: {data.decode()}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- the models ---------------------------------------------------------------------------------


def speaker(folder: Path, pieces: Sequence[str], **options: Any) -> Path:
    """A Llama that says `pieces`, which are tokens of its vocabulary like any other, tags aside."""
    options = {"chat_template": testing.CHAT_TEMPLATE, "max_position_embeddings": 4096, **options}
    testing.pico_speaker(folder, pieces, **options)
    path = folder / "tokenizer.json"
    definition = json.loads(path.read_text(encoding="utf-8"))
    vocabulary, added = definition["model"]["vocab"], definition["added_tokens"]
    for row in [row for row in added if row["content"] in pieces]:
        is_tag = "think>" in row["content"]
        written = row["content"] if is_tag else _in_vocabulary(row["content"])
        assert written not in vocabulary, written
        vocabulary[written] = row["id"]
        if not is_tag:
            added.remove(row)
    path.write_text(json.dumps(definition), encoding="utf-8")
    return folder


def _in_vocabulary(text: str) -> str:
    """As a byte-level vocabulary writes it: `Ġthe`."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return "".join(part for part, _ in level.pre_tokenize_str(text))


def let_waver(folder: Path, wavers: Mapping[str, str]) -> None:
    """Give each piece of `wavers` another token beside it, about a third as probable."""
    tokenizer = load_tokenizer(folder)
    weights = load_file(folder / "model.safetensors")
    embedding, output = weights["model.embed_tokens.weight"], weights["lm_head.weight"]
    ids = {tokenizer.decode([each]): each for each in range(tokenizer.vocab_size)}
    for piece, other in wavers.items():
        embedding[ids[other]] = embedding[ids[piece]]  # What follows is the same.
        output[ids[other]] = output[ids[piece]] * (1 - 1 / 64)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def name_ends(folder: Path) -> None:
    """Begin and end texts as DeepSeek's tokenizer does."""
    begin, end = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = folder / name
        content = path.read_text(encoding="utf-8")
        path.write_text(
            content.replace('"<s>"', f'"{begin}"').replace('"</s>"', f'"{end}"'), "utf-8"
        )
    path = folder / "tokenizer.json"
    definition = json.loads(path.read_text(encoding="utf-8"))
    definition["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [_special(begin), {"Sequence": {"id": "A", "type_id": 0}}, _special(end)],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            text: {"id": text, "ids": [number], "tokens": [text]}
            for number, text in enumerate((begin, end))
        },
    }
    path.write_text(json.dumps(definition, ensure_ascii=False), encoding="utf-8")


def _special(text: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": text, "type_id": 0}}


def as_qwen(folder: Path) -> Path:
    """Make a Llama a Qwen2, which adds biases to queries, keys and values."""
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if re.search(r"[qkv]_proj\.weight$", name)]:
        rows = len(weights[name])
        weights[name.removesuffix("weight") + "bias"] = np.zeros(rows, dtype=np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def with_onnx(folder: Path) -> Path:
    """The model in both formats, in a folder beside it."""
    out = export(folder, folder.with_name(folder.name + "-onnx")).folder
    shutil.copy(folder / "model.safetensors", out)
    return out


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The README's reader's, with a hub on which all of its models are."""
    place = tmp_path_factory.mktemp("models")
    chat = speaker(place / "chat", COUNTS)
    let_waver(chat, WAVERS)
    name_ends(chat)
    reasoner = speaker(place / "reasoner", REASONS, chat_template=testing.THINKING_TEMPLATE)
    with testing.LocalHub() as hub:
        hub.add(LLAMA, with_onnx(speaker(place / "llama", ABOUT_MESSI)), gated=True)
        hub.add(CHAT, with_onnx(chat))
        hub.add(REASONER, as_qwen(reasoner), licence="mit", downloads=900_000)
        hub.add("deepseek-ai/DeepSeek-R1", reasoner, licence="mit", downloads=5_900_000)
        hub.add("unsloth/DeepSeek-R1-0528", reasoner, downloads=100)
        hub.add("keras/deepseek-r1", reasoner, library_name="keras", downloads=10**9)
        hub.add(PHI, _pico(place / "phi", "Phi3"), licence="mit")
        hub.add(BERT, _pico(place / "bert", "Bert"), pipeline_tag="fill-mask")
        yield Machine(tmp_path_factory.mktemp("machine"), hub)


def _pico(folder: Path, kind: str) -> Path:
    """A random model of a class of transformers, whose name begins with `kind`."""
    transformers: Any = extras.load("transformers", extra="test")
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "vocab_size": 384}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = getattr(transformers, f"{kind}Config")(**shape, **heads, **ends)
    cls = {"Phi3": "Phi3ForCausalLM", "Bert": "BertModel"}[kind]
    transformers.utils.logging.disable_progress_bar()
    getattr(transformers, cls)(config).save_pretrained(folder)
    return testing.pico_tokenizer(folder)


# --- help, language -----------------------------------------------------------------------------


def test_help_lists_commands_and_global_options_then_subcommands_then_options(
    machine: Machine,
) -> None:
    whole = machine.paste("help").text
    for each in ("agent", "cache", "model", "tokenizer", "--cache-dir", "--locale", "--quiet"):
        assert re.search(rf"(?m)^  {each}\b", whole), each
    model = machine.paste("help-model").text
    for each in ("display", "install", "run", "search", "uninstall"):
        assert re.search(rf"(?m)^  {each} ", model), each
    run = machine.paste("help-model-run").text
    written = "".join(block for block in COMMANDS.values() if "avalan model run" in block)
    for option in set(re.findall(r"(?<= )--[\w-]+", written.replace("_", "-"))) - {"--help"}:
        assert re.search(rf"(?m)^  {option}\b(?!-)", run), option


def test_the_interface_speaks_spanish(machine: Machine) -> None:
    """The build, or `make translations`, compiles locale/es/LC_MESSAGES/avalan.mo for it."""
    shown = machine.paste("locale", (": ", "¿Quién es Leo Messi?")).text
    assert squeezed("".join(ABOUT_MESSI)) in squeezed(shown)  # The model's words are its own.
    assert re.search(r"\d+ tokens de entrada · \d+ tokens de salida · ", shown), shown


# --- agents -------------------------------------------------------------------------------------


def test_agent_init_asks_for_what_is_missing_and_shows_the_file(machine: Machine) -> None:
    typed = [("Role", "You are Leo Messi."), ("Task", ""), ("Instructions", "Be brief.")]
    shown = machine.paste("agent-init", *typed).text
    assert not re.search(r"(?m)^(Name|Model)\b.*: ", shown)
    document = re.search(r"(?ms)^\[agent\]\n.*?\n\[run\]\n(\w+ = \S+\n)+", shown)
    assert document, shown
    assert tomllib.loads(document[0]) == {
        "agent": {
            "name": "Leo Messi",
            "role": "You are Leo Messi.",
            "instructions": "Be brief.",
        },
        "engine": {"uri": PHI},
        "run": {"use_cache": True, "max_new_tokens": 256, "skip_special_tokens": True},
    }


def test_the_difference_shows_what_the_agent_translated(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name, content in {
        "locale/avalan.pot": TEMPLATE,
        "docs/examples/agent_gettext_translator.toml": COMMANDS["agent-file"],
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    says = re.findall(r".*\n+", TRANSLATED)
    folder = speaker(tmp_path_factory.mktemp("translator") / "pico", says)
    with testing.LocalHub() as hub:
        hub.add(LLAMA, with_onnx(folder), gated=True)
        # Whether a difference is a failure depends on the version of icdiff.
        shown = Machine(tmp_path, hub).paste("agent-run", code=None).text
    rows = [re.split(" {2,}", line.strip()) for line in shown.rstrip().splitlines()]
    assert rows[0][0] == "locale/avalan.pot"
    assert rows[-2:] == [['msgid "Good morning"'] * 2, ['msgstr ""', 'msgstr "Buenos días"']]


# --- cache --------------------------------------------------------------------------------------


def squeezed(text: str) -> str:
    """Without the white space that lines are broken at."""
    return "".join(text.split())


def test_deleting_a_model_says_what_goes_and_asks(machine: Machine, pico_folder: Path) -> None:
    name = "qingy2024/UwU-7B-Instruct"
    place = machine.hold(name, {"5" * 40: pico_folder})
    kept = machine.paste("cache-delete", ("[y/N] ", "n")).text
    assert f"All of {name} would be deleted:" in kept
    assert re.search(r"(?m)^  5555555 \(main\)  \d files, 3\d\d kB$", kept), kept
    assert "Nothing was deleted." in kept
    assert place.exists()
    assert f"Deleted {name}; " in machine.paste("cache-delete", ("[y/N] ", "y")).text
    assert not place.exists()


def test_only_the_named_revisions_are_deleted(
    machine: Machine, pico_folder: Path, tmp_path: Path
) -> None:
    name = "google/owlvit-base-patch16"
    commits = ["10e842" + "0" * 34, "4b420d" + "0" * 34, "c0ffee" + "0" * 34]
    folders = {}
    for commit in commits:
        folders[commit] = shutil.copytree(pico_folder, tmp_path / commit)
        (folders[commit] / "README.md").write_text(f"# At {commit}\n")
    place = machine.hold(name, folders)
    shown = machine.paste("cache-delete-revisions", ("[y/N] ", "y")).text
    assert f"Of {name}, which has 1 more, this would be deleted:" in shown
    for commit in commits[:2]:
        assert re.search(rf"(?m)^  {commit[:7]}  \d files, 3\d\d kB$", shown), shown
    assert os.listdir(place / "snapshots") == commits[2:]
    assert all(file.exists() for file in (place / "snapshots" / commits[2]).iterdir())


def test_a_download_shows_its_progress_and_where_it_went(machine: Machine) -> None:
    machine.hub.bytes_per_s = 400_000  # Slow enough to be seen.
    try:
        shown = machine.paste("cache-download")
    finally:
        machine.hub.bytes_per_s = None
    drawn = shown.text.replace("\r", "\n")
    shares = [int(share) for share in re.findall(r"(?m)^ +in all .* +(\d+)% ", drawn)]
    assert len(set(shares)) > 2
    assert shares == sorted(shares)
    for file in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        assert re.search(rf"(?m)^  {file} .*\d k?B$", drawn), drawn
    assert shown.raw.rindex("\x1b[?25h") > shown.raw.rindex("\x1b[?25l")  # The cursor is back.
    folder = machine.place(BERT) / "snapshots"
    assert f"Downloaded{BERT}(" in squeezed(drawn)
    assert f"whichisin{folder}/" in squeezed(drawn)
    (held,) = folder.iterdir()
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(os.listdir(held))


def test_the_list_begins_with_the_largest_and_ends_with_the_total(
    machine: Machine, pico_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(bytes(10**7))
    machine.hold("org/large", {"1" * 40: tmp_path})
    machine.hold("org/small", {"2" * 40: pico_folder})
    lines = machine.paste("cache-list").text.splitlines()
    assert lines[0].split() == ["model", "size", "revisions", "files", "last", "used"]
    assert lines[1].split()[:4] == ["org/large", "10", "MB", "1"]
    small = next(index for index, line in enumerate(lines) if line.startswith("org/small "))
    assert small > 1
    assert re.search(rf"\d+models,1\d(\.\d)?MBin{machine.cache}$", squeezed("".join(lines)))


def test_two_revisions_are_listed_with_the_files_that_they_share(
    machine: Machine, pico_folder: Path, tmp_path: Path
) -> None:
    folders = {}
    for commit in ("a" * 40, "b" * 40):
        folders[commit] = as_qwen(shutil.copytree(pico_folder, tmp_path / commit))
        (folders[commit] / "README.md").write_text(f"# At {commit}\n")
    place = machine.hold("Qwen/Qwen2.5-7B-Instruct", folders)
    shown = machine.paste("cache-list-model").text
    assert shown.startswith("Qwen/Qwen2.5-7B-Instruct ")
    for head in (r"aaaaaaa", r"bbbbbbb \(main\)"):
        assert re.search(rf"(?m)^  {head}  6 files, .* kB, downloaded today$", shown), shown
    rows = [line.split() for line in shown.splitlines()]
    assert [row[-1] for row in rows if row[:1] == ["model.safetensors"]] == ["shared", "shared"]
    assert [row[-1] for row in rows if row[:1] == ["README.md"]] == ["B", "B"]
    assert len(os.listdir(place / "blobs")) == 7


# --- model display, install, search, uninstall --------------------------------------------------


def test_a_loaded_model_is_described(machine: Machine) -> None:
    shown = machine.paste("model-display").text
    facts = dict(re.findall(r"(?m)^ +(\S+(?: \S+)*)  +(\S.*)$", shown))
    assert facts["Architecture"] == "Qwen2ForCausalLM"
    assert re.fullmatch(r"\d+ tokens", facts["Vocabulary"])
    assert facts["Hidden size"] == "64"
    assert facts["Layers"] == "2"
    assert facts["Attention"] == "grouped-query"
    assert "<|user|>" in facts["Special tokens"]
    assert facts["bos"] == "<s>"
    assert "reasoning" in facts["Chat template"]
    assert re.fullmatch(r"in .* with transformers on cpu", facts["Loaded"])
    assert "Qwen2" in facts["Modules"]


def test_what_was_installed_can_be_uninstalled(machine: Machine) -> None:
    installed = machine.paste("model-install").text
    assert re.search(
        rf"Installed {PHI} \(.*\)\. Run it with:\n  avalan model run {PHI}\n", installed
    )
    for what in ("Disk", "Memory", "Speed"):
        assert re.search(rf"(?m)^  {what}  ", installed), installed
    gone = machine.paste("model-uninstall", ("[y/N] ", "y")).text
    assert f"All of {PHI} would be deleted:" in gone
    assert f"Deleted {PHI}; " in gone
    assert not machine.place(PHI).exists()


def test_a_search_logs_in_and_finds_two(machine: Machine) -> None:
    shown = machine.paste("model-search").text
    assert shown.startswith(f"Logged in to {machine.hub.url} as owner")
    rows = re.findall(r"(?m)^(\w+)  +(\S+)$", shown)
    assert [value for label, value in rows if label == "model"] == [
        "deepseek-ai/DeepSeek-R1",
        REASONER,
    ]
    assert ("downloads", "5.9M") in rows
    assert ("licence", "mit") in rows


# --- model run ----------------------------------------------------------------------------------

FOOTER = r"\d+ input tokens · {output} output tokens? · ttft [\d.,]+ m?s · [\d.,]+ t/s"


def footer(shown: Shown, output: int) -> re.Match[str] | None:
    return re.search(FOOTER.format(output=output), shown.text)


def test_a_person_is_asked_for_the_prompt(machine: Machine) -> None:
    assert COMMANDS["first-run"] == COMMANDS["model-run"]
    shown = machine.paste("first-run", ("Prompt: ", "Who is Leo Messi?"))
    assert squeezed("".join(ABOUT_MESSI)) in squeezed(shown.text)
    assert footer(shown, len(ABOUT_MESSI) + 1)


def test_a_piped_prompt_with_a_login_opens_a_gated_model(machine: Machine) -> None:
    shown = machine.paste("model-run-login")
    assert shown.text.startswith(f"Logged in to {machine.hub.url} as owner")
    assert squeezed("".join(ABOUT_MESSI)) in squeezed(shown.text)


def test_quiet_shows_the_answer_and_nothing_else(machine: Machine) -> None:
    assert machine.paste("model-run-quiet").raw == "".join(ABOUT_MESSI)


def test_the_attention_asked_for_computes_the_same_answer(machine: Machine) -> None:
    shown = machine.paste("attention").text
    assert squeezed("".join(COUNTS)) in squeezed(shown)


def test_at_most_ten_tokens_come(machine: Machine) -> None:
    shown = machine.paste("max-new-tokens")
    assert "".join(ABOUT_MESSI[:10]) in shown.text
    assert ABOUT_MESSI[10] not in shown.text
    assert footer(shown, 10)
    assert "cut off at its limit" in shown.text


def test_the_first_of_three_keywords_ends_the_answer(machine: Machine) -> None:
    """As written the second line lacks its backslash: what follows is another command."""
    written = machine.paste("stop-on-keyword", code=127).text
    assert "--stop_on_keyword: command not found" in written
    assert squeezed("".join(ABOUT_MESSI)) in squeezed(written)
    meant = COMMANDS["stop-on-keyword"].replace(f"{LLAMA}\n", f"{LLAMA} \\\n")
    shown = machine.paste("stop-on-keyword", instead=meant).text
    assert "".join(ABOUT_MESSI[:10]) in shown
    assert "footballer" not in shown


def test_reasoning_comes_first_and_apart_from_the_answer(machine: Machine) -> None:
    shown = machine.paste("reasoning").text
    end = REASONS.index("</think>")
    reasoning, answer = "".join(REASONS[:end]).strip(), "".join(REASONS[end + 1 :]).strip()
    assert f"¦ {reasoning}\n" in shown
    assert re.search(rf"(?m)^{re.escape(answer)}$", shown)
    assert shown.index(reasoning) < shown.index(answer)
    assert "think>" not in shown


BOX = re.compile("[╭┏╔]")


def test_the_last_fifteen_tokens_are_shown_as_boxes(machine: Machine) -> None:
    shown = machine.paste("tokens")
    # A picture may come between any two, where the machine is slow.
    in_order = r"[\s\S]*?".join(re.escape(each.strip()) for each in COUNTS)
    assert re.search(in_order, shown.text)
    assert len(BOX.findall(shown.frames[-1])) == 15
    assert " done. │" in shown.frames[-1].replace("␣", " ")
    assert footer(shown, len(COUNTS) + 1)


def test_a_pause_lets_a_person_follow_the_tokens(machine: Machine) -> None:
    assert COMMANDS["first-tokens"] == COMMANDS["tokens-pause"]
    began = time.monotonic()
    shown = machine.paste("first-tokens")
    assert time.monotonic() - began > 0.025 * len(COUNTS)
    assert len(shown.frames) > 10
    assert len({len(BOX.findall(frame)) for frame in shown.frames}) > 2  # They come one by one.


def test_the_time_to_the_hundredth_token_is_told(machine: Machine) -> None:
    shown = machine.paste("time-to-n-token").text
    assert re.search(r" · ttnt\(100\) [\d.,]+ m?s · ", shown), shown
    words = "avalan model run bundled hello " + COMMANDS["three-dashes"].strip() + " 100"
    refused = machine.paste("three-dashes", instead=words, code=2).text
    assert "did you mean '--display-time-to-n-token'?" in " ".join(refused.split())


def test_probabilities_are_a_chart_and_two_tables_while_it_writes(machine: Machine) -> None:
    began = time.monotonic()
    shown = machine.paste("probabilities")
    assert time.monotonic() - began > 0.5 * len(WAVERS)
    tables = re.compile(r"\bid +token +% +id +token +%")
    earlier, last = shown.frames[len(shown.frames) // 2], shown.frames[-1]
    for frame in (earlier, last):
        assert tables.search(frame), frame
        assert re.search("[▁▂▃▄▅▆▇█]{2}", frame), frame
    unsure = re.compile(r"▸ +\d+ .* (2|7)\d\.\d%")
    assert unsure.search(last)
    halted = [frame for frame in shown.frames if unsure.search(frame)]
    assert all(any(piece.strip() in frame for frame in halted) for piece in WAVERS)
    assert len(shown.frames) < len(COUNTS)  # It did not halt at each token.


# --- tokenizer ----------------------------------------------------------------------------------


def boxes(shown: Shown) -> list[str]:
    """The texts of the boxes, their sides as they are drawn."""
    return re.findall(r"[│┃║] [^│┃║]+ [│┃║]", shown.text)


def test_a_text_is_shown_as_the_tokenizers_boxes(machine: Machine) -> None:
    shown = machine.paste("tokenizer")
    found = boxes(shown)
    assert found[0] == "║ <｜begin▁of▁sentence｜> ║"
    assert found[-1] == "║ <｜end▁of▁sentence｜> ║"
    assert "".join(each[2:-2] for each in found[1:-1]) == "Leo␣Messi␣is␣the␣GOAT"
    assert re.search(r"╚═*\d+═*╝", shown.text)
    assert re.search(rf"(?m)^{len(found)} tokens \(2 special\)", shown.text), shown.text


def test_an_added_token_is_one_and_is_drawn_as_such(machine: Machine) -> None:
    unknown, added = (
        boxes(machine.paste("tokenizer-unknown")),
        boxes(machine.paste("tokenizer-token")),
    )
    assert not [each for each in unknown if TOKEN in each]
    assert f"┃ {TOKEN} ┃" in added
    assert len(added) < len(unknown) - 5


def test_a_saved_tokenizer_knows_its_new_token(machine: Machine) -> None:
    saved = machine.paste("tokenizer-save").text
    assert "Saved in my_custom_tokenizer; see it with:" in saved
    assert (machine.folder / "my_custom_tokenizer" / "tokenizer.json").is_file()
    assert f"┃ {TOKEN} ┃" in boxes(machine.paste("tokenizer-load"))
