"""Translate a text: python seq2seq_translation.py FROM TO [MODEL] < letter.txt

FROM and TO are languages such as en and es. Needs the extra `translation`.
"""

import asyncio
import sys

from avalan.errors import AvalanError
from avalan.model.entities import GenerationSettings
from avalan.model.nlp.sequence import TranslationModel

MODEL = "facebook/mbart-large-50-many-to-many-mmt"


async def example(text: str, source: str, destination: str, model: str = MODEL) -> None:
    with TranslationModel(model) as translate:
        translation = await translate(
            text,
            source_language=source,
            destination_language=destination,
            settings=GenerationSettings(num_beams=4, max_length=512),
        )
    print(translation)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(f"Usage: {sys.argv[0]} FROM TO [MODEL] < TEXT")
    try:
        asyncio.run(example(sys.stdin.read(), *sys.argv[1:]))
    except AvalanError as error:
        sys.exit(str(error))
