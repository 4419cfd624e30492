"""From a worker thread to an async consumer, without a thread hop per token.

The worker computes and appends; the consumer takes all that is ready at once and is woken only when
it waits. A hop between threads costs as much as a token of a small model.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator

from avalan.model.entities import GenerationReport, Token

# Where the worker is always ahead, the event loop still gets its turn this often.
_FAIRNESS = 16


class TokenStream(AsyncIterator[Token]):
    """Tokens as they come. Iterate it once, or `await` its `text()`.

    The worker starts with the first token asked for. It ends with the answer, with `cancel` or
    `aclose`, when a loop over the stream is left early, and when the waiting task is cancelled.
    """

    def __init__(
        self,
        tokens: Iterator[Token],
        report: GenerationReport,
        *,
        loop: asyncio.AbstractEventLoop,
        running: "set[TokenStream]",
    ) -> None:
        """
        Args:
            tokens: what the worker iterates; nobody else may.
            report: filled by `tokens`.
            loop: where the consumer lives.
            running: holds the stream for as long as its worker runs.
        """
        self.report = report
        self._tokens = tokens
        self._loop = loop
        self._running = running
        self._ready: deque[Token] = deque()
        self._lock = threading.Lock()
        self._waiter: asyncio.Future[None] | None = None
        self._cancelled = threading.Event()
        self._over = False
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._num_taken = 0

    def __aiter__(self) -> AsyncIterator[Token]:
        return _Iteration(self)

    async def __anext__(self) -> Token:
        try:
            return await self._take()
        except BaseException:  # the end, an error of the worker's, or a cancelled task
            self.cancel()
            raise

    async def text(self, *, reasoning: bool = False) -> str:
        """The answer, from the tokens that have not been taken yet; with `reasoning`, what the
        model wrote before it too."""
        return "".join([t.text async for t in self if reasoning or not t.reasoning])

    async def aclose(self) -> None:
        """End the generation and wait until the worker has stopped."""
        self.cancel()
        await asyncio.to_thread(self.join)

    def cancel(self) -> None:
        """Tell the worker to stop after the token that it computes; safe from any thread."""
        self._cancelled.set()

    def join(self) -> None:
        """Wait until the worker has stopped, if it ever began."""
        if self._thread is not None:
            self._thread.join()

    # --- the consumer's side ----------------------------------------------------------------

    async def _take(self) -> Token:
        self._start()
        self._num_taken += 1
        if self._num_taken % _FAIRNESS == 0:
            await asyncio.sleep(0)
        while True:
            with self._lock:
                if self._ready:
                    return self._ready.popleft()
                if self._over:
                    break
                waiter = self._waiter = self._loop.create_future()
            await waiter
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        raise StopAsyncIteration

    def _start(self) -> None:
        if self._thread is not None or self._over:
            return
        if self._cancelled.is_set():
            self._over = True
            return
        # A daemon, so that a stream that nobody closes does not keep the interpreter alive.
        self._thread = threading.Thread(target=self._work, name="avalan-generate", daemon=True)
        self._running.add(self)
        self._thread.start()

    # --- the worker's side ------------------------------------------------------------------

    def _work(self) -> None:
        try:
            for token in self._tokens:
                self._hand_over(token)
                if self._cancelled.is_set():
                    break
        except BaseException as error:  # handed to the consumer, whose error it is
            self._error = error
        finally:
            close = getattr(self._tokens, "close", None)
            if close is not None:
                close()  # Frees the state and the engine's buffers now, not when it is collected.
            self._running.discard(self)
            self._hand_over(None)

    def _hand_over(self, token: Token | None) -> None:
        """Give a token, or None at the end, and wake the consumer if it waits."""
        with self._lock:
            if token is None:
                self._over = True
            else:
                self._ready.append(token)
            waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        try:
            self._loop.call_soon_threadsafe(_release, waiter)
        except RuntimeError:  # The consumer's event loop is closed: nobody waits any more.
            self.cancel()


class _Iteration(AsyncIterator[Token]):
    """One loop over a stream; leaving the loop drops this object, and so ends the generation."""

    def __init__(self, stream: TokenStream) -> None:
        self._stream = stream

    async def __anext__(self) -> Token:
        return await self._stream.__anext__()

    def __del__(self) -> None:
        self._stream.cancel()


def _release(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
