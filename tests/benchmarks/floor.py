"""A server that answers MLflow's client at once and keeps nothing: what the client itself takes.

python -m tests.benchmarks.floor    print the port, and serve until it is ended
"""

import asyncio
import json

_RUN = {
    "info": {
        "run_id": "a" * 32,
        "run_uuid": "a" * 32,
        "run_name": "floor",
        "experiment_id": "1",
        "status": "RUNNING",
        "start_time": 1,
        "lifecycle_stage": "active",
        "artifact_uri": "mlflow-artifacts:/1",
    },
    "data": {},
}


class Floor:
    """Answers requests. Only the points of `log-metric` are counted, because the client asks for them at the end."""

    def __init__(self) -> None:
        self._points = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        while head := await _head(reader):
            line, *fields = head.decode("latin-1").split("\r\n")
            sizes = [int(field.partition(":")[2]) for field in fields if field.lower().startswith("content-length:")]
            await reader.readexactly(sum(sizes))
            body = json.dumps(self._answer(line)).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
        writer.close()

    def _answer(self, line: str) -> object:
        if "/log-metric" in line:
            self._points += 1
        if "/get-history" in line:
            count, self._points = self._points - 1, 0  # without the first point, which has another name
            return {"metrics": [{"key": "loss", "value": 1.0, "timestamp": 1, "step": step} for step in range(count)]}
        return {"run": _RUN, "run_info": _RUN["info"]} if "/log-" not in line else {}


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def main() -> None:
    """Serve on a free port of localhost."""
    server = await asyncio.start_server(Floor().serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
