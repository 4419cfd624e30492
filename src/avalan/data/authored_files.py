"""Records from documents on disk: a line for each passage as it is done, then a data set.

DIR/records.jsonl           the records as they were written, in the passages' order
DIR/progress.jsonl          what became of each passage, so that the same command goes on after
                            a kill
DIR/train-00000.parquet …   what is left of them when what comes twice or stands in a test is
                            out, by split; card and manifest are written last, see `shards`
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avalan.data import shards
from avalan.data.authored import Chooses, Roles, Says, Tally, author
from avalan.data.record_files import read_lines
from avalan.errors import ConfigurationError
from avalan.model.entities import GenerationReport, GenerationSettings, Message
from avalan.model.generate import generate
from avalan.model.load import Model, open_model
from avalan.reflection.choice import Chooser
from avalan.reflection.reading import prompt_of
from avalan.reflection.record import to_json
from avalan.retrieval.entities import Passage
from avalan.retrieval.index import NO_EMBEDDER, SyncIndex

RECORDS, PROGRESS = "records.jsonl", "progress.jsonl"
_SHARD_ROWS = 5_000
_MOST_TOKENS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The models that play the roles, by name."""

    generator: str
    reviewer: str | None = None
    adjudicator: str | None = None
    student: str | None = None


def write(
    places: Sequence[str],
    cast: Cast,
    folder: Path,
    *,
    num: int | None = None,
    seed: int = 7,
    tested: Sequence[Path] = (),
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Author records from the documents in `places` into `folder`; the manifest.

    Args:
        num: passages that are taken, from the first on; None takes all.
        tested: files of tests, of which no record may have thirteen words in a row.
        tell: is told how many are done, and of how many.

    Raises:
        ConfigurationError: `folder` has something else.
        RetrievalError: there are no documents.
        ModelError: a model cannot be opened, or cannot choose.
    """
    passages = _passages(places)[:num]
    key = json.dumps({"cast": asdict(cast), "seed": seed, "passages": _hash(passages)})
    done, tally = _done(folder, key)
    with ExitStack() as stack:
        roles = _roles(cast, stack, seed) if done < len(passages) else None
        records = stack.enter_context((folder / RECORDS).open("a", encoding="utf-8"))
        progress = stack.enter_context((folder / PROGRESS).open("a", encoding="utf-8"))
        if roles is not None:
            found = author(passages, roles, tally, seed=seed, start=done)
            for number, record in enumerate(found, done + 1):
                if record is not None:
                    records.write(json.dumps(to_json(record), ensure_ascii=False) + "\n")
                    records.flush()
                counts = {"kept": dict(tally.kept), "dropped": dict(tally.dropped)}
                progress.write(json.dumps({"size": records.tell(), **counts}) + "\n")
                progress.flush()
                tell(number, len(passages))
    if (whole := shards.manifest(folder)) is not None:
        return whole
    cleaned = shards.Cleaned(folder, tested, _SHARD_ROWS)
    for record in read_lines(folder / RECORDS):
        cleaned.add(record)
    told = {
        "documents": list(places),
        "models": {role: name for role, name in asdict(cast).items() if name},
        "seed": seed,
        "num_passages": len(passages),
        "without_record": dict(sorted(tally.dropped.items())),
        **cleaned.close(),
        "licence": "that of the documents",
    }
    shards.close(folder, told, card(told))
    return told


def _hash(passages: Sequence[Passage]) -> str:
    """Of what they say, and where."""
    told = json.dumps([(each.source, each.start, each.text) for each in passages])
    return hashlib.sha256(told.encode()).hexdigest()


def _done(folder: Path, key: str) -> tuple[int, Tally]:
    """How many passages are done in a folder, and what became of them; a torn end is cut off."""
    folder.mkdir(parents=True, exist_ok=True)
    path, records = folder / PROGRESS, folder / RECORDS
    if not any(folder.iterdir()):
        new = folder / f".{PROGRESS}"
        new.write_text(f"{key}\n", encoding="utf-8")
        new.replace(path)
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    if not lines or lines[0].decode(errors="replace") != f"{key}\n":
        raise ConfigurationError(
            "The folder {folder} has something else than these documents by these models; name "
            "another with: --out DIR",
            folder=folder,
        )
    whole = [line for line in lines[1:] if line.endswith(b"\n")]
    tally, size = Tally(), 0
    if whole:
        last: dict[str, Any] = json.loads(whole[-1])
        tally.kept.update(last["kept"])
        tally.dropped.update(last["dropped"])
        size = last["size"]
    for file, length in ((path, len(lines[0]) + sum(map(len, whole))), (records, size)):
        with file.open("ab") as open_file:
            open_file.truncate(length)
    return len(whole), tally


def _passages(places: Sequence[str]) -> list[Passage]:
    """The passages of all documents, in the order of their files."""
    with SyncIndex.temporary(embedder=NO_EMBEDDER) as index:
        for _event in index.add(places):
            pass
        sources = sorted(document.source for document in index.documents())
        return [passage for source in sources for passage in index.passages(source)]


def _roles(cast: Cast, stack: ExitStack, seed: int) -> Roles:
    models: dict[str, Model] = {}

    def opened(name: str) -> Model:
        if name not in models:
            models[name] = stack.enter_context(open_model(name))
        return models[name]

    def chooser(name: str | None) -> Chooses | None:
        return None if name is None else _chooses(opened(name))

    return Roles(
        generator=_says(opened(cast.generator)),
        reviewer=chooser(cast.reviewer),
        adjudicator=chooser(cast.adjudicator),
        student=None if cast.student is None else _says(opened(cast.student), seed),
    )


def _says(model: Model, seed: int | None = None) -> Says:
    """A model's likeliest answers; with a seed they are drawn.

    What is drawn follows from the seed, the conversation and how often it was asked before.
    """
    asked: Counter[str] = Counter()

    def said(messages: Sequence[Message], schema: Any) -> str:
        can_keep = "grammar" in model.engine.capabilities
        told = repr(messages)
        asked[told] += 1
        settings = GenerationSettings(
            max_new_tokens=_MOST_TOKENS,
            schema=schema if can_keep else None,
            temperature=0.0 if seed is None else 0.7,
            seed=None if seed is None else _drawn(f"{seed}:{asked[told]}:{told}"),
            skip_special_tokens=True,
        )
        prompt = prompt_of(model, messages)
        tokens = generate(model, prompt, settings=settings, report=GenerationReport())
        return "".join(token.text for token in tokens if not token.reasoning)

    return said


def _drawn(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _chooses(model: Model) -> Chooses:
    chooser = Chooser(model)
    return lambda messages, options: [float(p) for p in chooser.choose(messages, options)]


def card(told: Mapping[str, Any]) -> str:
    """The data card."""
    kept = "\n".join(f"| {row['split']} | {row['kind']} | {row['num']:,} |" for row in told["kept"])
    without = "\n".join(f"| {why} | {num:,} |" for why, num in told["without_record"].items())
    dropped = ", ".join(f"{num:,} {reason}" for reason, num in told["dropped"].items()) or "none"
    roles = ", ".join(f"{role} {name}" for role, name in told["models"].items())
    tests = ", ".join(told["tested"]) or "none was given"
    return f"""# Records from documents

{told["num_kept"]:,} records `selfref/1`, made by `avalan data synthesize --docs` from
{", ".join(told["documents"])}, with the seed {told["seed"]}. By models: {roles}. No person has read
them. The licence is that of the documents.

| split | kind | records |
|---|---|---|
{kept}

`asked`: the answer stands in the passage, word for word. `strange`: the question beside another
passage, which does not answer it. `known`: the student is right without the passage. Validation has
documents of its own; of a single document, its end.

| passages without a record, because | |
|---|---|
{without}

Of the records, left out: {dropped}. `repeated` is the same as an earlier one, `alike` asks nearly
the same, `tested` shares thirteen words in a row with a test ({tests}).
"""
