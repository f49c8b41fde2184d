"""An S3 server on this machine (moto), which fails on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BUCKET = "bench-results"
SECRET = "wJalrXUtnFEMI-not-to-be-shown"
KEY = "AKIANOTTOBESHOWN"

#: What a fault gets: the environment of a WSGI request.
Request = dict[str, Any]


@dataclass
class S3:
    """The server: its address, the requests so far, and the fault that it has for now.

    A fault returns the status of a failed request, such as ``503 Slow Down``, or None.
    """

    url: str = ""
    fault: Callable[[Request], str | None] | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The standard environment variables of a client."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }

    def objects(self) -> dict[str, bytes]:
        """All objects of the bucket with their contents, without requests."""
        from moto.s3.models import s3_backends

        bucket = s3_backends["123456789012"]["aws"].buckets[BUCKET]
        return {name: bytes(key.value) for name, key in bucket.keys.items()}

    def put(self, name: str, content: bytes) -> None:
        """Write an object without a request."""
        from moto.s3.models import s3_backends

        s3_backends["123456789012"]["aws"].put_object(BUCKET, name, content)

    def clear(self) -> None:
        """Remove all objects, and the fault."""
        from moto.s3.models import s3_backends

        s3_backends["123456789012"]["aws"].reset()
        s3_backends["123456789012"]["aws"].create_bucket(BUCKET, "us-east-1")
        self.fault = None
        self.requests.clear()


@contextmanager
def serving() -> Iterator[S3]:
    """Serve S3 over HTTP in the block."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    s3, moto = S3(), DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()  # moto checks conditions of writes before it writes

    def application(request: Request, respond: Callable[..., Any]) -> Iterable[bytes]:
        s3.requests.append((request["REQUEST_METHOD"], request["PATH_INFO"]))
        status = s3.fault(request) if s3.fault is not None else None
        if status is None:
            with one_at_a_time:
                return moto(request, respond)
        code = status.partition(" ")[2].replace(" ", "")
        respond(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>{KEY}</Message></Error>".encode()]

    class QuietHandler(MotoRequestHandler):
        def log_request(self, *_: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=QuietHandler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    s3.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield s3
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def slow(seconds: float) -> Callable[[Request], None]:
    """A fault that delays every request."""

    def fault(_request: Request) -> None:
        time.sleep(seconds)

    return fault


def first(n: int, status: str, *, method: str = "") -> Callable[[Request], str | None]:
    """A fault of the first `n` requests, or of those with one method."""
    left = [n]

    def fault(request: Request) -> str | None:
        if not left[0] or method not in ("", request["REQUEST_METHOD"]):
            return None
        left[0] -= 1
        return status

    return fault
