"""The claims of AVALON's card on a small base: the arms, seeds and figures of docs/avalon.md.

    python bench/avalon.py run [--arms avalon,better] [--seeds 0,1,2] [--split test]
    python bench/avalon.py distill [--seeds 0,1,2]
    python bench/avalon.py table

Each arm is trained by `avalan model train` in --out and measured once, so that what was cut goes
on, and several processes can take different seeds. What an arm did with each example is kept in
--figures, which is in the repository: `table` prints the claims' table without a training.
"""

import argparse
import gzip
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from avalan.data import sums, textbook
from avalan.data.general import general_record
from avalan.data.worlds import Level
from avalan.evaluate import token_use
from avalan.evaluate.examples import Prompt, generated_prompts, textbook_prompts
from avalan.model.decode.batch import Answered, decode_batch
from avalan.model.entities import GenerationSettings, Message
from avalan.model.load import Model, open_model
from avalan.model.prompt import load_tokenizer
from avalan.reflection.matching import exact_match
from avalan.reflection.panel import open_panel
from avalan.reflection.reading import prompt_ids
from avalan.reflection.record import Record
from avalan.reflection.tokens import ALL
from avalan.train import tuning_recipe
from avalan.train.tuning_tokens import all_tokens
from avalon_table import brief, kept, table
from mask import graded

ROOT = Path(__file__).parents[1]
BASE = ROOT / "models" / "base"
BOOK = ROOT / "data" / "textbook"

SHARED = {
    "base.model": BASE,
    "lessons.data": "avalon",
    "lessons.max_tokens": 512,
    "tokens.profile": "self-rag",
    "tokens.system_prompt": "",
    # Of the tokens that count, one in twenty decides.
    "loss.reflection": 5.0,
    "run.rows_per_step": 8,
    "run.num_steps": 183,
    "run.learning_rate": 1e-3,
}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "avalon": ("avalon", {}),
    "rows": ("avalon", {"change.embeddings": "rows"}),
    "frozen": ("avalon", {"change.embeddings": "frozen"}),
    "frozen-mean": ("avalon", {"change.embeddings": "frozen", "tokens.start": "mean"}),
    "better": ("avalon-better", {}),
    "better-no-kl": ("avalon-better", {"loss.kl": 0.0}),
    "better-sums": ("avalon-better", {"lessons.data": "avalon-sums"}),
}
"""Of each arm the recipe, and what it changes beside what is shared; data by the name of a recipe
beside this file."""

NUM_MADE, NUM_SUMS, NUM_PAGES, NUM_TEXTS = 400, 500, 1_500, 400
"""Examples: prompts of held-out templates; sums; pages with a question; texts for perplexity."""
MOST_TOKENS = 160


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("action", choices=("run", "distill", "table"))
    options.add_argument("--out", type=Path, default=Path("runs/avalon"))
    options.add_argument("--figures", type=Path, default=ROOT / "bench" / "avalon-figures")
    options.add_argument("--arms", default="avalon,better,frozen,rows,better-no-kl,better-sums")
    options.add_argument("--seeds", default="0,1,2")
    options.add_argument("--split", default="test", choices=("validation", "test"))
    options.add_argument("--set", action="append", default=[], help="of every arm, as KEY=VALUE")
    given = options.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    match given.action:
        case "run":
            keep(given.figures, "base", BASE, given.split)
            for seed in seeds:
                for arm in given.arms.split(","):
                    if not kept(given.figures, f"{arm}-{seed}", given.split).is_file():
                        folder = train(arm, seed, given.out, given.set)
                        keep(given.figures, f"{arm}-{seed}", folder, given.split)
        case "distill":
            for seed in seeds:
                distill(seed, given.out, given.figures, given.split)
        case "table":
            table(given.figures, given.split)


# --- what is trained ------------------------------------------------------------------------------


def lessons(out: Path, name: str) -> Path:
    """The set of the recipe `name`, from which arms learn; made where it is missing."""
    made = out / name
    if not made.is_dir():
        recipe, own = Path(__file__).with_name(f"{name}.toml"), out / f"{name}.{os.getpid()}"
        avalan("data", "synthesize", recipe, "--textbook", BOOK, "--out", own)
        try:
            own.rename(made)
        except OSError:  # Another process was first; its set has the same bytes.
            shutil.rmtree(own)
    return made


def train(arm: str, seed: int, out: Path, changes: Sequence[str] = ()) -> Path:
    """The folder of the arm's model, trained now or before."""
    folder = out / f"{arm}-{seed}"
    if not (folder / "model" / "config.json").is_file():
        recipe, own = ARMS[arm]
        table = {**SHARED, **own, "run.seed": seed}
        table["lessons.data"] = lessons(out, table["lessons.data"])
        sets = [f"{key}={value}" for key, value in table.items()] + list(changes)
        avalan("model", "train", recipe, "--out", folder, *(w for s in sets for w in ("--set", s)))
    return folder / "model"


def avalan(*words: object) -> str:
    """What the command says on stdout."""
    told = subprocess.run(
        [sys.executable, "-m", "avalan", *map(str, words)], check=True, stdout=subprocess.PIPE
    )
    return told.stdout.decode()


def distill(seed: int, out: Path, figures: Path, split: str) -> None:
    """Half of the layers of the arm `better`, taught on with and without the whole as teacher."""
    teacher = train("better", seed, out)
    folder = out / f"distill-{seed}"
    student = folder / "student"
    if not student.is_dir():
        halve(teacher, student)
    words = (
        "--teacher",
        teacher,
        "--student",
        student,
        "--data",
        lessons(out, "avalon"),
        "--out",
        folder,
    )
    sets = (
        "run.num_steps=183",
        "run.rows_per_step=8",
        "run.learning_rate=1e-3",
        f"run.seed={seed}",
    )
    more = ("lessons.max_tokens=512", *sets)
    told = folder / "compared.json"
    if not told.is_file():
        found = avalan(
            "model", "distill", *words, "--json", *(w for s in more for w in ("--set", s))
        )
        told.write_text(found.splitlines()[-1], encoding="utf-8")
    for arm in ("alone", "distilled"):
        keep(figures, f"{arm}-{seed}", folder / arm / "model", split)


def halve(teacher: Path, student: Path) -> None:
    """Every second layer of a model, as a model."""
    model = AutoModelForCausalLM.from_pretrained(teacher)
    kept = list(model.model.layers)[::2]
    model.model.layers = torch.nn.ModuleList(kept)
    model.config.num_hidden_layers = len(kept)
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[::2]
    model.save_pretrained(student)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (teacher / name).is_file():
            shutil.copy(teacher / name, student)


# --- what is measured -----------------------------------------------------------------------------


def keep(figures: Path, name: str, folder: Path, split: str) -> None:
    """Measure the model in `folder`, unless that was done."""
    file = kept(figures, name, split)
    if file.is_file():
        return
    found = {"decisions": list(decisions(folder, split)), **words(folder, split)}
    figures.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(json.dumps(found).encode(), mtime=0))
    print(name, *(f"{key} {value}" for key, value in brief(found).items()), flush=True)


def prompts_of(level: str, split: str) -> tuple[Prompt, ...]:
    if level == "T":
        return textbook_prompts(textbook.read(BOOK).part(split))
    return generated_prompts(level, NUM_MADE, split=split, seed=0)


def decisions(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    """Each prompt's decision: as said freely, and its probability under the constraint.

    Of the textbook's prompts those of validation too, by which the probabilities are calibrated.
    """
    with open_panel(str(folder), calibrated=False) as panel:
        model, judge = panel.model, panel.judge
        assert model is not None
        assert judge is not None
        has_tokens = token_use.profile_of(model) is not None
        for level, of in dict.fromkeys((("G1", split), ("T", split), ("T", "validation"))):
            prompts = prompts_of(level, of)
            # Without an answer by heart, for nobody asks for grades here.
            wanted = [replace(each, answer=None) for each in token_use.wanted_of(prompts)]
            used = token_use.use(model, judge, wanted) if has_tokens and of == split else None
            for prompt in prompts:
                said = next(used) if used else None
                yield {
                    "level": level,
                    "split": of,
                    "language": prompt.kind.split()[0] if level == "T" else "en",
                    "label": prompt.retrieve,
                    "need": round(judge.need(prompt.text), 6),
                    "free": said and said.free,
                    "valid": said and said.is_valid,
                }


def words(folder: Path, split: str) -> dict[str, list[Any]]:
    """What became of the rest: sums, pages, and the likelihood of ordinary text.

    Texts have (nats, nats where no reflection token competes, tokens).
    """
    random = Random(f"{split} sums")
    items = [sums.chain(random) for _ in range(NUM_SUMS)]
    pages = plain("pages", NUM_PAGES, split)
    with open_model(str(folder)) as model:
        questions = [item.question for item in items]
        found = {}
        for name, mask in (("free", False), ("masked", True)):
            marks = [
                graded(said, item.answer)
                for said, item in zip(answers(model, questions, mask=mask), items, strict=True)
            ]
            found[f"sums {name}"] = [is_right for is_right, _inside in marks]
            found[f"token in a sum, {name}"] = [inside for _right, inside in marks]
        said = answers(model, [page.messages[-1].content for page in pages], mask=True)
        found["pages"] = [
            exact_match(text.strip(), page.segments[0].text or "") == 1
            for text, page in zip(said, pages, strict=True)
        ]
    found["texts"] = list(nats(folder, [*plain("prose", NUM_TEXTS, split)]))
    return found


def plain(kind: str, num: int, split: str) -> list[Record]:
    """Records without reflection, of wordings and names that no training saw."""
    level: Level = "G1"
    return [
        general_record(
            kind, Random(f"{split} {kind} {row}"), level, identifier=str(row), split=split
        )
        for row in range(num)
    ]


def answers(model: Model, questions: Sequence[str], *, mask: bool) -> list[str]:
    """Greedy answers; with `mask` no control token may be said."""
    tokenizer = model.tokenizer
    forbidden = tuple(sorted(tokenizer.special_ids - tokenizer.eos_ids)) if mask else ()
    settings = GenerationSettings(
        max_new_tokens=MOST_TOKENS, forbidden_ids=forbidden, skip_special_tokens=False
    )
    prompts = [prompt_ids(tokenizer, [Message(role="user", content=each)]) for each in questions]
    said = [""] * len(prompts)
    for row, answered in decode_batch(
        model.stepping, prompts, tokenizer=tokenizer, settings=settings
    ):
        assert isinstance(answered, Answered)
        words = (token.text for token in answered.tokens if token.token_id not in tokenizer.eos_ids)
        said[row] = "".join(words)
    return said


def nats(folder: Path, records: Iterable[Record]) -> Iterator[tuple[float, float, int]]:
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    new = [tokenizer.added_tokens[text] for text in ALL if text in tokenizer.added_tokens]
    recipe = tuning_recipe.TuningRecipe(
        name="nats", tokens=tuning_recipe.Tokens(profile="none"), loss=tuning_recipe.Loss(eos=0.0)
    )
    for made in all_tokens(recipe, records, tokenizer):
        ids = torch.tensor([made.input_ids])
        counts = torch.tensor(made.weights)[1:] > 0
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1]
        free = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        logits[:, new] = -math.inf
        held = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        yield (
            round(float(free[counts].sum()), 4),
            round(float(held[counts].sum()), 4),
            int(counts.sum()),
        )


if __name__ == "__main__":
    main()
