"""Embedders that others serve, over the OpenAI protocol's `/v1/embeddings`."""

from collections.abc import Sequence

import numpy as np

from avalan.errors import ModelError
from avalan.model.engine.remote import asked, explained, open_client
from avalan.model.nlp.sentence import Kind, Vectors, fingerprint, unit_rows
from avalan.model.service import Service

_BATCH_TEXTS = 64


class ServedEmbedder:
    """An embedder over one served model; the client may be shared by threads."""

    def __init__(self, service: Service) -> None:
        self.name = service.name
        self.fingerprint = fingerprint(service.base_url, service.model)
        self._service = service
        self._client = open_client(service)
        self.dimension = 0
        # The protocol has no word for it, so a first answer tells.
        self.dimension = self._asked(["dimension"]).shape[1]

    def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> Vectors:
        """See `Embedder.embed`; the protocol knows no kinds."""
        parts = [
            self._asked(texts[start : start + _BATCH_TEXTS])
            for start in range(0, len(texts), _BATCH_TEXTS)
        ]
        return np.concatenate([np.empty((0, self.dimension), np.float32), *parts])

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _asked(self, texts: Sequence[str]) -> Vectors:
        with explained(self._service):
            answer = asked(
                self._client,
                lambda client: client.embeddings.create(
                    model=self._service.model, input=list(texts), encoding_format="float"
                ),
            )
        rows = [row.embedding for row in sorted(answer.data or (), key=lambda row: row.index)]
        sizes = {len(row) for row in rows}
        if len(rows) != len(texts) or len(sizes) != 1 or not min(sizes):
            raise ModelError(
                "The server of {name!r} answers {count} texts with {found} vectors of the sizes "
                "{sizes}; choose an embedding model.",
                name=self.name,
                count=len(texts),
                found=len(rows),
                sizes=", ".join(map(str, sorted(sizes))) or "0",
            )
        if self.dimension and sizes != {self.dimension}:
            raise ModelError(
                "The server of {name!r} makes vectors of {found} dimensions now and of {before} "
                "before; build the index again.",
                name=self.name,
                found=min(sizes),
                before=self.dimension,
            )
        return unit_rows(np.array(rows, np.float32))


def load(service: Service) -> ServedEmbedder:
    """The embedder over a served model, which is asked for one vector at once."""
    return ServedEmbedder(service)
