"""Stream what a language model says: python text_generation.py ["PROMPT" [MODEL]]"""

import asyncio
import sys

from avalan.errors import AvalanError
from avalan.model.entities import GenerationSettings
from avalan.model.nlp.text import TextGenerationModel


async def example(prompt: str = "Who are you?", model: str = "bundled") -> None:
    with TextGenerationModel(model) as lm:
        stream = await lm(
            prompt,
            system_prompt="Answer in one sentence.",
            settings=GenerationSettings(temperature=0.9, max_new_tokens=256, seed=7),
        )
        async for token in stream:
            print(token, end="", flush=True)
        print(f"\n\n{stream.report.usage.completion_tokens} tokens")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        sys.exit(f'Usage: {sys.argv[0]} ["PROMPT" [MODEL]]')
    try:
        asyncio.run(example(*sys.argv[1:]))
    except AvalanError as error:
        sys.exit(str(error))
