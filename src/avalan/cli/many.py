"""A file of prompts, answered several at a time: one JSON object for each line, in their order."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from avalan.cli.console import Console
from avalan.cli.questions import questions
from avalan.errors import AvalanError
from avalan.locale import ngettext
from avalan.model.entities import GenerationSettings

if TYPE_CHECKING:
    from avalan.model.decode.batch import Answered
    from avalan.model.nlp.text import TextGenerationModel


def answer_lines(
    lines: Iterator[bytes],
    lm: "TextGenerationModel",
    settings: GenerationSettings,
    console: Console,
    *,
    system_prompt: str | None,
    batch_size: int,
) -> int:
    """Answer the prompt of each line; 1 if a line could not be answered, which stops no other.

    A line is a JSON object with a `prompt`, or a text. Answers are written as soon as those of all
    lines before are.
    """
    asked = list(questions(lines, key="prompt"))
    found: dict[int, Answered | AvalanError] = {
        index: prompt
        for index, (_number, prompt) in enumerate(asked)
        if isinstance(prompt, AvalanError)
    }
    good = [index for index, (_number, prompt) in enumerate(asked) if isinstance(prompt, str)]
    prompts = [str(asked[index][1]) for index in good]
    answers = lm.answer_all(
        prompts, system_prompt=system_prompt, settings=settings, batch_size=batch_size
    )
    written, code = 0, 0
    while True:
        while written in found:
            number, prompt = asked[written]
            answer = found.pop(written)
            code = code or int(isinstance(answer, AvalanError))
            console.json(_document(number, prompt, answer))
            written += 1
        console.progress(ngettext("{n} answer", "{n} answers", written) if written else "")
        ended = next(answers, None)
        if ended is None:
            console.progress("")  # What follows is the shell's.
            return code
        found[good[ended[0]]] = ended[1]


def _document(
    number: int, prompt: str | AvalanError, answer: "Answered | AvalanError"
) -> dict[str, Any]:
    if isinstance(answer, AvalanError):
        return {"error": str(answer), "line": number}
    report = answer.report
    return {
        "prompt": prompt,
        "text": answer.text,
        "reasoning": answer.reasoning or None,
        "finish_reason": report.finish_reason,
        "constraint": report.constraint,
        "enforced_by": report.enforced_by,
        "usage": asdict(report.usage),
    }
