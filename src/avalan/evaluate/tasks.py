"""The tasks by name, and a run: panels one after the other over the same examples of each level."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Literal, get_args

from avalan.data import textbook
from avalan.errors import ConfigurationError
from avalan.evaluate import adaptive_qa, decision, examples, grounded, token_use
from avalan.evaluate.examples import Prompt, QuestionSet, Split
from avalan.evaluate.progress import Reporter, Tell, unheard
from avalan.evaluate.report import Column, Example, Outcome, Report, Section, column
from avalan.evaluate.statistics import Estimate
from avalan.model.load import Model
from avalan.reflection.judge import Judge
from avalan.reflection.panel import Panel
from avalan.retrieval.index import SyncIndex

GROUNDED_QA, RETRIEVAL_DECISION = "grounded-qa", "retrieval-decision"
ADAPTIVE_QA, REFLECTION_TOKENS = "adaptive-qa", "reflection-tokens"
LevelName = Literal["G0", "G1", "G2", "G3", "T", "H", "P"]
TASKS = (GROUNDED_QA, RETRIEVAL_DECISION, ADAPTIVE_QA, REFLECTION_TOKENS)
_OF_PROMPTS = (RETRIEVAL_DECISION, REFLECTION_TOKENS)
LEVELS: tuple[LevelName, ...] = get_args(LevelName)
"""From what training saw most of to what it saw nothing of; textbook; papers; Python's text."""
USUAL: tuple[LevelName, ...] = ("G0", "G1", "G2", "G3")
"""What is measured where no level is named."""

MOST_EXAMPLES = 1_000_000

Examples = QuestionSet | tuple[Prompt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. The docstrings from `split` on are also the command line's help."""

    task: str
    levels: tuple[LevelName, ...]
    split: Split = "validation"
    """Which examples: validation while developing, test once per release."""
    num: int = 200
    """How many examples of each level that is made from a seed; G3 is always whole."""
    seed: int = 0
    """Seed of the made examples and of the intervals."""
    top_k: int = 5
    """How many passages are read for each question."""
    data: Path | None = None
    """Folder of the G3 files."""
    textbook: Path | None = None
    """Folder of the textbook."""


def levels_of(wanted: Sequence[str]) -> tuple[LevelName, ...]:
    """The wanted levels, each once and in their order.

    Raises:
        ConfigurationError: there is no such level.
    """
    for level in wanted:
        if level not in LEVELS:
            raise ConfigurationError(
                "There is no level {level!r}; choose from: {levels}.",
                level=level,
                levels=", ".join(LEVELS),
            )
    return tuple(level for level in LEVELS if level in wanted)


def check(plan: Plan) -> None:
    """Raises ConfigurationError for what cannot be measured."""
    check_values(plan)
    for level in ("G3", "H", "P"):
        if level in plan.levels and plan.data is None:
            raise ConfigurationError(
                "{level} needs its files; name the tests/data of a checkout with: --data DIR",
                level=level,
            )
    for level in ("H", "P"):
        if level in plan.levels and plan.task in _OF_PROMPTS:
            raise ConfigurationError(
                "{level} has questions and no prompts; measure it with --task {task}.",
                level=level,
                task=GROUNDED_QA,
            )
    if "T" in plan.levels and plan.textbook is None:
        raise ConfigurationError(
            "T needs the textbook; name the data/textbook of a checkout with: --textbook DIR"
        )


def check_values(plan: Plan) -> None:
    """Raises ConfigurationError for a value that is impossible, whatever files there are."""
    if plan.task not in TASKS:
        raise ConfigurationError(
            "There is no task called {task!r}; choose one of: {known}.",
            task=plan.task,
            known=", ".join(TASKS),
        )
    levels_of(plan.levels)
    if plan.split not in get_args(Split):
        first, second = get_args(Split)
        raise ConfigurationError(
            "There is no split called {split!r}; choose {first} or {second}.",
            split=plan.split,
            first=first,
            second=second,
        )
    check_numbers(plan.num, plan.seed, plan.top_k)


def check_numbers(num: int, seed: int, top_k: int) -> None:
    """Raises ConfigurationError for a number that is out of its range."""
    for name, value, least in (("--num", num, 1), ("--seed", seed, 0), ("--top-k", top_k, 1)):
        if value < least:
            raise ConfigurationError(
                "{name} is {value}, but it must be at least {least}.",
                name=name,
                value=value,
                least=least,
            )
    if num > MOST_EXAMPLES:
        raise ConfigurationError(
            "--num is {num}, but it must be at most {most:,}.", num=num, most=MOST_EXAMPLES
        )


def run(
    plan: Plan,
    panels: Mapping[str, Callable[[], Panel]],
    *,
    tell: Tell = unheard,
) -> Report:
    """Measure each panel on each level; the panels are opened one at a time.

    Args:
        panels: how to open each, by the name that heads its column.
        tell: called after each example.

    Raises:
        ConfigurationError: the plan cannot be carried out.
        AvalanError: a panel cannot be opened.
    """
    check(plan)
    began = perf_counter()
    levels = {level: make(plan, level) for level in plan.levels}
    columns: dict[LevelName, list[Column]] = {level: [] for level in levels}
    with ExitStack() as stack:
        # One index for all panels: to make it again for each would cost more than some measure.
        indexes = {
            level: stack.enter_context(grounded.indexed(made))
            for level, made in levels.items()
            if isinstance(made, QuestionSet)
        }
        for name, open_panel in panels.items():
            with open_panel() as panel:
                for level, made in levels.items():
                    reporter = Reporter(tell=tell, who=name, what=level)
                    index = indexes.get(level)
                    columns[level].append(_column(plan, panel, made, index, reporter))
    return Report(
        task=plan.task,
        split=plan.split,
        seed=plan.seed,
        top_k=plan.top_k,
        data=hashes(plan),
        sections=tuple(
            Section(level=level, examples=tuple(listed(made)), columns=tuple(columns[level]))
            for level, made in levels.items()
        ),
        wall_s=perf_counter() - began,
    )


def hashes(plan: Plan) -> Mapping[str, str]:
    """The SHA-256 of each data file of a plan, by its path; empty where none is read."""
    found: dict[str, str] = {}
    if plan.data and "G3" in plan.levels:
        found |= examples.data_hashes(plan.data)
    if plan.data and "H" in plan.levels:
        found |= examples.house_hashes(plan.data)
    if plan.data and "P" in plan.levels:
        found |= examples.python_hashes(plan.data)
    if plan.textbook and "T" in plan.levels:
        found |= examples.textbook_hashes(plan.textbook)
    return found


def make(plan: Plan, level: LevelName) -> Examples:
    """The examples of one level of the plan."""
    if plan.task == ADAPTIVE_QA:
        asked = make(replace(plan, task=GROUNDED_QA), level)
        assert isinstance(asked, QuestionSet)
        return adaptive_qa.mixed(asked, split=plan.split, seed=plan.seed)
    if level == "T":
        assert plan.textbook is not None
        book = textbook.read(plan.textbook).part(plan.split)
        grounded_qa = plan.task == GROUNDED_QA
        return (examples.textbook_questions if grounded_qa else examples.textbook_prompts)(book)
    if level == "G3":
        assert plan.data is not None
        read = examples.written_questions if plan.task == GROUNDED_QA else examples.written_prompts
        return read(plan.data, plan.split)
    if level == "H":
        assert plan.data is not None
        return examples.house_questions(plan.data, plan.split)
    if level == "P":
        assert plan.data is not None
        return examples.python_questions(plan.data, plan.split)
    generate = (
        examples.generated_questions if plan.task == GROUNDED_QA else examples.generated_prompts
    )
    return generate(level, plan.num, split=plan.split, seed=plan.seed)


def listed(made: Examples) -> Sequence[Example]:
    """The examples themselves, without the pages that some are about."""
    return made.questions if isinstance(made, QuestionSet) else made


def _column(
    plan: Plan, panel: Panel, made: Examples, index: SyncIndex | None, reporter: Reporter
) -> Column:
    began = perf_counter()
    outcomes, figures = _measured(plan, panel, made, index, reporter)
    return column(reporter.who, panel, figures, outcomes, perf_counter() - began)


def _measured(
    plan: Plan, panel: Panel, made: Examples, index: SyncIndex | None, reporter: Reporter
) -> tuple[Sequence[Outcome], dict[str, Estimate | None]]:
    """What the panel did with each example, and the figures of it all."""
    num = len(listed(made))
    if isinstance(made, QuestionSet):
        assert index is not None
        if plan.task == ADAPTIVE_QA:
            ways = adaptive_qa.answer(panel, index, made.questions, top_k=plan.top_k)
            weighed = list(reporter.following(ways, num))
            return weighed, adaptive_qa.summarise(made.questions, weighed, seed=plan.seed)
        asked = grounded.answer(panel, index, made.questions, top_k=plan.top_k)
        answered = list(reporter.following(asked, num))
        return answered, grounded.summarise(made.questions, answered, seed=plan.seed)
    if plan.task == REFLECTION_TOKENS:
        wanted = token_use.wanted_of(made)
        used = list(reporter.following(token_use.use(*_speaker(panel), wanted), num))
        return used, token_use.summarise(wanted, used, seed=plan.seed)
    decided = list(reporter.following(decision.decide(panel, made), num))
    return decided, decision.summarise(made, decided, seed=plan.seed)


def _speaker(panel: Panel) -> tuple[Model, Judge]:
    """The model behind a panel, and the panel's judge that it is.

    Raises:
        ConfigurationError: there is none, or it has no reflection tokens.
    """
    model, judge = panel.model, panel.judge
    if model is None or judge is None or token_use.profile_of(model) is None:
        raise ConfigurationError(
            "{name!r} has no reflection tokens, so there is no use of them to measure; name a "
            "model that was trained with them, such as 'bundled'.",
            name=panel.name,
        )
    return model, judge
