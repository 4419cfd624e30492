"""Summarise a text: python seq2seq_summarization.py [MODEL] < article.txt

Needs the extra `transformers`.
"""

import asyncio
import sys

from avalan.errors import AvalanError
from avalan.model.entities import GenerationSettings
from avalan.model.nlp.sequence import SequenceToSequenceModel


async def example(text: str, model: str = "facebook/bart-large-cnn") -> None:
    with SequenceToSequenceModel(model) as summarise:
        print(await summarise(text, GenerationSettings(num_beams=4, max_length=60)))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(f"Usage: {sys.argv[0]} [MODEL] < TEXT")
    try:
        asyncio.run(example(sys.stdin.read(), *sys.argv[1:]))
    except AvalanError as error:
        sys.exit(str(error))
