"""The record `selfref/1`: one question, what was decided, read, said and judged.

Records hold structure and never strings with tokens in them; `render` in the module beside this
one is the only place where a record becomes token ids.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from avalan.errors import ConfigurationError
from avalan.locale import _
from avalan.model.entities import Message
from avalan.reflection.judge import Support

SCHEMA = "selfref/1"
Decision = Literal["retrieve", "none", "continue", "plain"]
"""`plain`: nothing is decided, and no reflection token stands in the record: ordinary text."""
Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPassage:
    """A passage that the model is shown."""

    pid: str
    text: str
    title: str = ""
    relevant: bool
    """Whether it holds what answers the question; a near miss does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One decision and what follows it, in the order in which it is rendered."""

    decision: Decision
    passages: tuple[RecordPassage, ...] = ()
    text: str | None = None
    """What is said; None ends the record after the decision and the judgements."""
    support: Support | None = None
    cite: tuple[str, ...] = ()
    """Ids of the passages that hold the evidence."""
    span: tuple[int, int] | None = None
    """Where `text` stands in the last passage's text, in characters: it is then copied token
    by token from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """How much the spoken tokens of a record count in training."""

    reflection: float = 1.0
    text: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A `selfref/1` record."""

    id: str
    messages: tuple[Message, ...]
    segments: tuple[Segment, ...]
    utility: int | None = None
    """Grade 1 to 5; None leaves the end of the answer open."""
    answers: tuple[str, ...] = ()
    """Texts that count as right."""
    lang: str = "en"
    split: Split = "train"
    source: Mapping[str, str] = field(default_factory=dict)
    """Where it comes from: dataset, template, licence, teacher."""
    loss: LossWeights = field(default_factory=LossWeights)

    @property
    def is_plain(self) -> bool:
        """Whether it is ordinary text, without reflection."""
        return all(segment.decision == "plain" for segment in self.segments)

    def __post_init__(self) -> None:
        if problem := _problem(self):
            raise ConfigurationError(
                "Record {id!r} breaks {schema}: {problem}.",
                id=self.id,
                schema=SCHEMA,
                problem=problem,
            )


def _problem(record: Record) -> str | None:
    """What is wrong with a record, or None."""
    if not record.messages:
        return _("it has no messages")
    if not record.segments:
        return _("it has no segments")
    if record.split not in get_args(Split):
        return _(
            "the split {found!r} is not one of {known}", found=record.split, known=_choices(Split)
        )
    if record.utility is not None and not 1 <= record.utility <= 5:
        return _("utility is {grade}, not 1 to 5", grade=record.utility)
    if record.is_plain and record.utility is not None:
        return _("its text is plain, but it has a utility")
    for segment in record.segments:
        pids = {passage.pid for passage in segment.passages}
        if segment.decision not in get_args(Decision):
            return _(
                "the decision {found!r} is not one of {known}",
                found=segment.decision,
                known=_choices(Decision),
            )
        if segment.decision == "plain" and (pids or not record.is_plain):
            return _("a plain segment stands beside others, or has passages")
        if segment.decision == "plain" and segment.text is None:
            return _("a plain segment has no text")
        if segment.support is not None and segment.support not in get_args(Support):
            return _(
                "the support {found!r} is not one of {known}",
                found=segment.support,
                known=_choices(Support),
            )
        if segment.support is not None and not pids:
            return _("a segment has support but no passages")
        if unseen := sorted(set(segment.cite) - pids):
            return _("a segment cites {pids}, which it was not shown", pids=unseen)
        if segment.span is not None:
            start, end = segment.span
            if not segment.passages or segment.passages[-1].text[start:end] != segment.text:
                return _("a span does not hold the text in the last passage")
    return None


def _choices(kind: Any) -> str:
    return ", ".join(get_args(kind))


def to_json(record: Record) -> dict[str, Any]:
    """The record as JSON values, with its schema."""
    return {"schema": SCHEMA, **asdict(record)}


def from_json(values: Mapping[str, Any]) -> Record:
    """The record that `to_json` wrote.

    Raises:
        ConfigurationError: the schema is another, a field is missing, unknown or broken.
    """
    values = dict(values)
    if (schema := values.pop("schema", None)) != SCHEMA:
        raise ConfigurationError(
            "A record has the schema {schema!r}; {ours!r} is read here.", schema=schema, ours=SCHEMA
        )
    try:
        segments = tuple(_segment(segment) for segment in values.pop("segments"))
        messages = tuple(Message(**message) for message in values.pop("messages"))
        loss = LossWeights(**values.pop("loss", {}))
        answers = tuple(values.pop("answers", ()))
        return Record(segments=segments, messages=messages, loss=loss, answers=answers, **values)
    except (TypeError, KeyError) as error:
        name = values.get("id", _("without id"))
        raise ConfigurationError(
            "Record {name!r} breaks {schema}: {error}.", name=name, schema=SCHEMA, error=error
        ) from None


def _segment(values: Mapping[str, Any]) -> Segment:
    values = dict(values)
    passages = tuple(RecordPassage(**passage) for passage in values.pop("passages", ()))
    cite = tuple(values.pop("cite", ()))
    start_end = values.pop("span", None)
    span = None if start_end is None else (int(start_end[0]), int(start_end[1]))
    return Segment(passages=passages, cite=cite, span=span, **values)
