"""docs/ask.md does what it says; an answer is the same however it is asked for."""

import json
import re
from collections.abc import Callable
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "ask.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python) run\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FROM_PYTHON = """
import asyncio, dataclasses, json
from avalan.reflection import Answer, ask
from avalan.retrieval import Index

async def main():
    async with await Index.temporary() as index:
        async for _ in index.add(["notes/"]):
            pass
        async for event in ask("When are the beds watered?", index=index):
            pass
    print(json.dumps(dataclasses.asdict(event)))

asyncio.run(main())
"""


def test_the_blocks_run(run_block: Callable[..., str]) -> None:
    asked, from_python = (run_block(language, text) for language, text in BLOCKS)
    assert "source: " in asked
    assert "garden.md" in asked
    assert "garden.md" in from_python


def test_the_command_json_and_python_give_one_answer(run_block: Callable[..., str]) -> None:
    plain = run_block(*BLOCKS[0])
    words = 'avalan ask "When are the beds watered?" --docs notes/'
    document = json.loads(run_block("bash", f"{words} --json"))
    lines = run_block("bash", f"{words} --events").splitlines()
    event = json.loads(run_block("python", FROM_PYTHON))
    assert f": {document['answer']}\n" in plain
    assert event["text"] == document["answer"] == json.loads(lines[-1])["answer"]
    assert event["confidence"] == document["confidence"]
    for key in ("source", "start", "end", "text"):
        assert event["citations"][0][key] == document["citations"][0][key]
