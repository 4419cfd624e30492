"""The tasks by name, and a run: panels one after the other over the same examples of each level."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from avalan.errors import ConfigurationError
from avalan.evaluate import decision, examples, grounded
from avalan.evaluate.examples import Prompt, QuestionSet, Split
from avalan.evaluate.report import Column, Example, Outcome, Report, Section, column
from avalan.evaluate.statistics import Estimate
from avalan.reflection.panel import Panel

GROUNDED_QA, RETRIEVAL_DECISION = "grounded-qa", "retrieval-decision"
TASKS: dict[str, tuple[str, ...]] = {
    GROUNDED_QA: ("G0", "G1", "G2", "G3"),
    RETRIEVAL_DECISION: ("G0", "G1", "G3"),
}
"""The levels of each task; prompts have no relations, so no G2."""
WRITTEN = "G3"

Examples = QuestionSet | tuple[Prompt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. The docstrings below are also the command line's help."""

    task: str = GROUNDED_QA
    """What to measure: grounded-qa or retrieval-decision."""
    levels: tuple[str, ...] = ()
    """Which levels, from G0 (wordings seen in training) to G3 (written one by one)."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far a run is."""

    panel: str
    level: str
    done: int
    num: int


def check(plan: Plan) -> None:
    """Raises ConfigurationError for what cannot be measured."""
    if plan.task not in TASKS:
        raise ConfigurationError(
            f"There is no task called {plan.task!r}; choose one of: {', '.join(TASKS)}."
        )
    for level in plan.levels:
        if level not in TASKS[plan.task]:
            choices = ",".join(TASKS[plan.task])
            raise ConfigurationError(
                f"The task {plan.task!r} has no level {level!r}; choose from: --level {choices}"
            )
    if plan.split not in ("validation", "test"):
        raise ConfigurationError(
            f"There is no split called {plan.split!r}; choose validation or test."
        )
    for name, value in (("--num", plan.num), ("--top-k", plan.top_k)):
        if value < 1:
            raise ConfigurationError(f"{name} is {value}, but at least 1 is measured.")
    if WRITTEN in plan.levels and plan.data is None:
        raise ConfigurationError(
            "G3 needs its files; name the tests/data of a checkout with: --data DIR"
        )


def run(
    plan: Plan,
    panels: Mapping[str, Callable[[], Panel]],
    *,
    tell: Callable[[Step], None] = lambda step: None,
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
    columns: dict[str, list[Column]] = {level: [] for level in levels}
    for name, open_panel in panels.items():
        with open_panel() as panel:
            for level, made in levels.items():
                columns[level].append(_column(plan, name, panel, level, made, tell))
    return Report(
        task=plan.task,
        split=plan.split,
        seed=plan.seed,
        top_k=plan.top_k,
        data=examples.data_hashes(plan.data) if plan.data and WRITTEN in levels else {},
        sections=tuple(
            Section(level=level, examples=tuple(listed(made)), columns=tuple(columns[level]))
            for level, made in levels.items()
        ),
        wall_s=perf_counter() - began,
    )


def make(plan: Plan, level: str) -> Examples:
    """The examples of one level of the plan."""
    if level == WRITTEN:
        assert plan.data is not None
        read = examples.written_questions if plan.task == GROUNDED_QA else examples.written_prompts
        return read(plan.data, plan.split)
    generate = (
        examples.generated_questions if plan.task == GROUNDED_QA else examples.generated_prompts
    )
    return generate(level, plan.num, split=plan.split, seed=plan.seed)


def listed(made: Examples) -> Sequence[Example]:
    """The examples themselves, without the pages that some are about."""
    return made.questions if isinstance(made, QuestionSet) else made


def _column(
    plan: Plan,
    name: str,
    panel: Panel,
    level: str,
    made: Examples,
    tell: Callable[[Step], None],
) -> Column:
    began = perf_counter()
    outcomes: list[Outcome] = []
    num = len(listed(made))
    for outcome in _outcomes(plan, panel, made):
        outcomes.append(outcome)
        tell(Step(panel=name, level=level, done=len(outcomes), num=num))
    wall_s = perf_counter() - began
    return column(name, panel, _figures(plan, made, outcomes), outcomes, wall_s)


def _outcomes(plan: Plan, panel: Panel, made: Examples) -> Iterator[Outcome]:
    if not isinstance(made, QuestionSet):
        yield from decision.decide(panel, made)
        return
    with grounded.indexed(made) as index:
        yield from grounded.answer(panel, index, made.questions, top_k=plan.top_k)


def _figures(plan: Plan, made: Examples, outcomes: list[Outcome]) -> dict[str, Estimate | None]:
    if isinstance(made, QuestionSet):
        return grounded.summarise(made.questions, outcomes, seed=plan.seed)
    return decision.summarise(made, outcomes, seed=plan.seed)
