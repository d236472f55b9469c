"""The store for asynchronous code: blocking calls run in a thread pool of their own, of bounded size.

Nothing else in the operator may call the blocking client: one slow request on the event loop would stop
every handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from assay.store.client import ObjectStore

P = ParamSpec("P")
T = TypeVar("T")


class AsyncStore:
    """`await store.run(store.blocking.get_bytes, key, 1000)`, or any other blocking function of the store.

    At most `workers` calls run at once; further ones wait their turn.
    """

    def __init__(self, blocking: ObjectStore, workers: int = 8) -> None:
        self.blocking = blocking
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="store")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function` in the pool. Raises what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(function, *args, **kwargs))

    def close(self) -> None:
        """Let running calls end and drop those that wait."""
        self._executor.shutdown(wait=False, cancel_futures=True)
