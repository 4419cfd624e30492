"""What to test with: models, engines and a hub, built in code in a moment, nothing downloaded.

* `pico_llama`, `pico_qwen3`, `pico_qwen3_5`, `pico_tokenizer`: random weights and real files;
  `pico_gguf` writes one as a GGUF file.
* `pico_speaker`: real files too, of a model that always says the same.
* `pico_detr`, `pico_bart`, `pico_mbart50`, `pico_bert`: the same for images, summaries,
  translations and sentence embeddings.
* `ScriptedEngine`, `ScriptedGeneratingEngine`, `scripted_model`, `saying`: what they are told to.
* `LocalHub`: a model hub on this machine, for the code that downloads.
"""

from avalan.testing.detector import pico_detr
from avalan.testing.encoder import pico_bert
from avalan.testing.hub import LocalHub
from avalan.testing.pico import (
    BOS,
    CHAT_TEMPLATE,
    EOS,
    ROLES,
    THINKING_TEMPLATE,
    pico_gguf,
    pico_llama,
    pico_qwen3,
    pico_qwen3_5,
    pico_speaker,
    pico_tokenizer,
)
from avalan.testing.scripted import (
    Script,
    ScriptedEngine,
    ScriptedGeneratingEngine,
    saying,
    scripted_model,
)
from avalan.testing.sequence import pico_bart, pico_mbart50

__all__ = [
    "BOS",
    "CHAT_TEMPLATE",
    "EOS",
    "ROLES",
    "THINKING_TEMPLATE",
    "LocalHub",
    "Script",
    "ScriptedEngine",
    "ScriptedGeneratingEngine",
    "pico_bart",
    "pico_bert",
    "pico_detr",
    "pico_gguf",
    "pico_llama",
    "pico_mbart50",
    "pico_qwen3",
    "pico_qwen3_5",
    "pico_speaker",
    "pico_tokenizer",
    "saying",
    "scripted_model",
]
