"""The store for asynchronous code: blocking calls run in a dedicated thread pool of bounded size.

No other code in the operator may call the blocking client, because one slow request on the event loop would stop all
handlers.
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

#: Called after each operation with its name, its duration in seconds (without the wait for a thread) and its exception.
Observe = Callable[[str, float, BaseException | None], None]


class AsyncStore:
    """`await store.run(store.blocking.get_bytes, key, 1000)`, or any other blocking function of the store.

    At most `workers` calls run at once; further calls are queued. `observe` is called in the worker threads.
    """

    def __init__(self, blocking: ObjectStore, workers: int = 8, observe: Observe | None = None) -> None:
        self.blocking = blocking
        self._observe = observe
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="store")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function` in the pool. Raises what it raises."""
        return await self._submit(partial(self._observed, function, partial(function, *args, **kwargs)))

    async def compute(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that does not use the store in the pool. It is not reported to `observe`."""
        return await self._submit(partial(function, *args, **kwargs))

    async def _submit(self, call: Callable[[], T]) -> T:
        # Runs in the caller's context, so that the observer knows the caller.
        return await asyncio.get_running_loop().run_in_executor(self._executor, copy_context().run, call)

    def _observed(self, function: Callable[..., T], call: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            result = call()
        except BaseException as error:
            self._report(function, began, error)
            raise
        self._report(function, began, None)
        return result

    def _report(self, function: Callable[..., T], began: float, error: BaseException | None) -> None:
        if self._observe:
            self._observe(function.__qualname__, time.monotonic() - began, error)

    def close(self) -> None:
        """Cancel queued calls. Running calls finish in the background."""
        self._executor.shutdown(wait=False, cancel_futures=True)
