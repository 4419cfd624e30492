"""The reader and the embedder in the box, begun before the modules that want them are imported."""

from avalan.model import bundled
from avalan.model.engine.onnx_session import open_ahead
from avalan.model.entities import EngineSettings
from avalan.model.nlp.encoder_tokenizer import parse_ahead

_GRAPH = "model.onnx"


def begin(settings: EngineSettings, *, embedder: bool) -> None:
    """Open the reader's graph with `settings` and parse its tokenizer, which the embedder shares.

    Args:
        embedder: whether its graph is wanted, too.

    Raises:
        ModelError: the catalogue cannot be read.
    """
    rows = bundled.catalogue()
    open_ahead(rows["reader"].folder / _GRAPH, settings)
    parse_ahead(rows["reader"].folder)
    if embedder:
        open_ahead(rows["embedder"].folder / _GRAPH, EngineSettings(num_threads=1))
