"""The store for asynchronous code: blocking calls run in a thread pool of their own, of bounded size.

Nothing else in the operator may call the blocking client: one slow request on the event loop would stop
every handler.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from assay.store.client import ObjectStore

P = ParamSpec("P")
T = TypeVar("T")

#: Is told of each operation: its name, the seconds it took without waiting for a thread, and what it raised.
Observe = Callable[[str, float, BaseException | None], None]


class AsyncStore:
    """`await store.run(store.blocking.get_bytes, key, 1000)`, or any other blocking function of the store.

    At most `workers` calls run at once; further ones wait their turn. `observe` is called in their threads.
    """

    def __init__(self, blocking: ObjectStore, workers: int = 8, observe: Observe | None = None) -> None:
        self.blocking = blocking
        self._observe = observe
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="store")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function` in the pool. Raises what it raises."""
        return await self._submit(partial(self._observed, function, partial(function, *args, **kwargs)))

    async def compute(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the same with a function that asks the store nothing: it is no operation of the store."""
        return await self._submit(partial(function, *args, **kwargs))

    async def _submit(self, call: Callable[[], T]) -> T:
        # In the caller's context: whoever observes is told for whom it was.
        return await asyncio.get_running_loop().run_in_executor(self._executor, copy_context().run, call)

    def _observed(self, function: Callable[..., T], call: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            result = call()
        except BaseException as error:
            self._tell(function, began, error)
            raise
        self._tell(function, began, None)
        return result

    def _tell(self, function: Callable[..., T], began: float, error: BaseException | None) -> None:
        if self._observe:
            self._observe(function.__qualname__, time.monotonic() - began, error)

    def close(self) -> None:
        """Let running calls end and drop those that wait."""
        self._executor.shutdown(wait=False, cancel_futures=True)
