"""Answer over HTTP which digits images show, with the model at MODEL_PATH. Nothing in here knows of Assay.

POST /predict   {"images": [[64 numbers], …]} -> {"digits": [3, …]}
GET /version    which model answers, and where its files are
GET /healthz    200 once the model is loaded: nothing is listened to before
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# As process 1 of a container, it would otherwise not be ended by this signal.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

import joblib  # noqa: E402 - takes a second, in which the signal may come

NAME, VERSION = os.environ.get("MODEL_NAME", "model"), os.environ.get("MODEL_VERSION", "0")
MAX_BYTES = 1 << 20


class Handler(BaseHTTPRequestHandler):
    model: Any
    timeout = 30

    def do_GET(self) -> None:
        answers = {
            "/healthz": {"status": "ok"},
            "/version": {"model": NAME, "version": VERSION, "path": os.environ["MODEL_PATH"]},
        }
        found = answers.get(self.path)
        self.answer(200 if found else 404, found or {"error": f"there is no {self.path}: GET {' or '.join(answers)}"})

    def do_POST(self) -> None:
        if self.path != "/predict":
            self.answer(404, {"error": f"there is no {self.path}: POST /predict"})
            return
        try:
            self.answer(200, {"digits": self.predict()})
        except (ValueError, TypeError, KeyError) as error:
            self.answer(400, {"error": f'send {{"images": [[64 numbers], …]}}: {type(error).__name__}: {error}'})

    def predict(self) -> list[int]:
        length = int(self.headers.get("Content-Length", 0))
        if not 0 < length <= MAX_BYTES:
            raise ValueError(f"a request has between 1 and {MAX_BYTES} bytes, and this one {length}")
        images = json.loads(self.rfile.read(length))["images"]
        digits: list[int] = self.model.predict(images).tolist()
        return digits

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Model-Version", f"{NAME}.v{VERSION}")
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    if not os.environ.get("MODEL_PATH"):
        sys.exit("MODEL_PATH is not set: there is no model to serve yet")
    file = Path(os.environ["MODEL_PATH"]) / "model.joblib"
    try:
        Handler.model = joblib.load(file)
    except Exception as error:
        sys.exit(f"{NAME}.v{VERSION}: {file} cannot be loaded: {type(error).__name__}: {error}")
    port = int(os.environ.get("PORT", "8080"))
    print(f"{NAME}.v{VERSION} of {file} on port {port}", flush=True)
    ThreadingHTTPServer(("", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
