"""The loop as Python programs use it."""

import asyncio
from pathlib import Path

from avalan import reflection
from avalan.reflection import Answer, AskSettings, Citation, Decision, Found, Read, ask, open_panel
from avalan.retrieval import Index

QUESTION = "Where may visitors park?"


def test_ten_lines_from_nothing_to_a_cited_answer(tmp_path: Path) -> None:
    (tmp_path / "yard.txt").write_text("Visitors may park behind the mill. Dogs stay outside.\n")

    async def told() -> list[object]:
        async with await Index.temporary(embedder="none") as index:
            async for _ in index.add([tmp_path]):
                pass
            return [event async for event in ask(QUESTION, index=index, model="rules")]

    events = asyncio.run(told())
    assert [type(event) for event in events] == [Decision, Found, Read, Citation, Answer]
    answer = events[-1]
    assert isinstance(answer, Answer)
    assert answer.text == "Visitors may park behind the mill."
    held = Path(answer.citations[0].source).read_bytes()
    assert held[answer.citations[0].start : answer.citations[0].end] == answer.text.encode()


def test_a_panel_that_is_open_answers_many_and_stays_open(tmp_path: Path) -> None:
    async def answers() -> list[object]:
        settings = AskSettings(retrieve="never")
        with open_panel("rules") as panel:
            return [
                event
                for question in (QUESTION, "Who else?")
                async for event in ask(question, model=panel, settings=settings)
            ]

    found = [event for event in asyncio.run(answers()) if isinstance(event, Answer)]
    assert [answer.question for answer in found] == [QUESTION, "Who else?"]
    assert all(answer.abstained for answer in found)


def test_others_run_while_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "yard.txt").write_text("Visitors may park behind the mill.\n")

    async def asked() -> list[str]:
        async with await Index.temporary(embedder="none") as index:
            async for _ in index.add([tmp_path]):
                pass

            async def one(question: str) -> str:
                *_, end = [event async for event in ask(question, index=index, model="rules")]
                assert isinstance(end, Answer)
                return end.text or ""

            return list(await asyncio.gather(*(one(QUESTION) for _ in range(4))))

    assert asyncio.run(asked()) == ["Visitors may park behind the mill."] * 4


def test_the_names_are_there_and_no_others() -> None:
    assert set(reflection.__all__) <= set(dir(reflection))
    for name in reflection.__all__:
        assert getattr(reflection, name) is not None
    assert not hasattr(reflection, "nothing")
