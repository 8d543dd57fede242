"""Serve a model over HTTP: a REST interface, a web page, and numbers for Prometheus.

  evenface serve
  evenface serve --model runs/first --port 9000 --detector yunet
  EVENFACE_TOKEN=... evenface serve --host 0.0.0.0

The page is at http://HOST:PORT/, the description of the interface at /openapi.json. Pictures are kept in memory until they are answered,
and nowhere else. Ctrl-C or SIGTERM finishes what is under way and ends.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from evenface.serve.limits import Limits

_PORTS = {"http": 80, "https": 443}
LOCAL = ("127.0.0.1", "::1", "localhost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model", metavar="M", help="a name of `evenface models list`, a model folder or a run (default: the one that ships)"
    )
    model.add_argument("--detector", default="mtcnn", metavar="D", help="mtcnn, yunet, yunet:PATH, or none (default: mtcnn)")
    model.add_argument("--min-face", type=int, default=40, metavar="PX", help="smallest face; larger is faster (default: 40)")
    model.add_argument(
        "--prior",
        default="model",
        metavar="P",
        help="what scores assume unless a request says otherwise: model, train, half, balanced, or fear=0.2,anger=0.1,... (default: model)",
    )
    model.add_argument(
        "--tta", default="none", choices=["none", "flip"], help="flip: average each face with its mirror, at twice the cost (default: none)"
    )
    model.add_argument(
        "--runtime", default="auto", choices=["auto", "torch", "onnx", "openvino"], help="what computes the model (default: auto)"
    )
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    model.add_argument("--threads", type=int, metavar="N", help="threads of the networks on a CPU (default: all cores)")

    place = parser.add_argument_group("place")
    place.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for every one (default: 127.0.0.1)")
    place.add_argument("--port", type=int, default=8000, metavar="N", help="0 takes a free one (default: 8000)")
    place.add_argument("--token", metavar="T", help="what clients must send as `Authorization: Bearer T`; better given as EVENFACE_TOKEN")
    place.add_argument(
        "--cors", action="append", default=[], metavar="ORIGIN", help="a site whose pages may use the service, as https://example.org"
    )
    place.add_argument("--access-log", action="store_true", help="a line per request: client, path and status; never a picture or a score")

    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-bytes", type=int, metavar="N", help="of a request (default: 33554432)")
    limits.add_argument("--max-pixels", type=int, metavar="N", help="of a picture (default: 50000000)")
    limits.add_argument("--max-files", type=int, metavar="N", help="pictures in a request (default: 16)")
    limits.add_argument("--max-faces", type=int, metavar="N", help="in a picture, the largest (default: 64)")
    limits.add_argument("--queue", type=int, metavar="N", help="pictures under way at once; more are refused with 503 (default: 64)")
    limits.add_argument("--batch-size", type=int, metavar="N", help="pictures that go through the networks at once (default: 8)")
    limits.add_argument("--batch-wait-ms", type=float, metavar="MS", help="how long a picture waits for others at most (default: 5)")
    limits.add_argument("--timeout", type=float, metavar="S", help="seconds for a body to come, and then for its answer (default: 30)")


def run(args: argparse.Namespace) -> int:
    _require_extra()
    import uvicorn

    from evenface import zoo
    from evenface.recognizer import Recognizer
    from evenface.serve.app import create_app
    from evenface.serve.quiet import quiet_c

    limits = _limits(args)
    token = _token(args)
    with _bound(args.host, args.port) as place:
        _set_threads(args.threads)
        name = args.model if args.model is not None else zoo.default_model()
        recognizer = Recognizer.from_pretrained(
            name,
            device=args.device,
            detector=args.detector,
            min_face=args.min_face,
            prior=args.prior,
            tta=args.tta,
            runtime=args.runtime,
            threads=args.threads,
        )
        if args.threads is not None and "torch" in sys.modules:  # an exported model and YuNet do without it
            sys.modules["torch"].set_num_threads(args.threads)
        card = "" if Path(name).is_file() else zoo.read_card(zoo.model_path(name))  # an exported file has none
        app = create_app(recognizer, limits, card=card, token=token, origins=_origins(args.cors))
        _say(args.host, place, recognizer, token)
        for each in (signal.SIGINT, signal.SIGTERM):  # uvicorn ends in peace, then raises the signal again: by then all is done
            signal.signal(each, lambda *_: None)
        with quiet_c():
            config = uvicorn.Config(
                app,
                http="h11",
                ws="none",
                log_level="info" if args.access_log else "warning",
                access_log=args.access_log,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=int(2 * limits.timeout) + 5,
            )
            server = uvicorn.Server(config)
            server.run(sockets=[place])
    return 0 if server.started else 1


def _require_extra() -> None:
    from importlib.util import find_spec

    from evenface.errors import MissingExtra

    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "python_multipart")):
        raise MissingExtra("evenface serve", "serve")


def _limits(args: argparse.Namespace) -> Limits:
    from evenface.serve.limits import Limits

    names = ("max_bytes", "max_pixels", "max_files", "max_faces", "queue", "batch_size", "batch_wait_ms", "timeout")
    return Limits(**{name: getattr(args, name) for name in names if getattr(args, name) is not None})


def _token(args: argparse.Namespace) -> str | None:
    from evenface.errors import ConfigError

    token: str | None = args.token if args.token is not None else os.environ.get("EVENFACE_TOKEN")
    if token is not None and (len(token) < 8 or not token.isascii() or not token.isprintable() or " " in token):
        raise ConfigError("The token has at least 8 characters, printable ASCII without spaces; make one with: openssl rand -hex 24")
    return token


def _origins(given: list[str]) -> list[str]:
    from urllib.parse import urlsplit

    from evenface.errors import ConfigError

    found = []
    for origin in given:
        try:
            parts = urlsplit(origin)
            host, port = parts.hostname, parts.port
            host = host if host is None or host.isascii() else host.encode("idna").decode()
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in _PORTS or parts.username is not None or origin.partition("//")[2].strip("/?#") != parts.netloc:
            raise ConfigError(f"--cors names an origin, such as https://example.org without a path, not '{origin}'.")
        host = f"[{host}]" if ":" in host else host
        found.append(f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, _PORTS[parts.scheme]) else ""))
    return found  # as browsers write them: in small letters, without the usual port


def _bound(host: str, port: int) -> socket.socket:
    """A socket with that address; uvicorn's own would report a taken port by its log only."""
    from evenface.errors import ConfigError

    if not 0 <= port <= 65535:
        raise ConfigError(f"--port is between 0 and 65535, not {port}.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        place = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--host {host} is no address of this machine ({error.strerror or error}).") from None
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(address)
    except OSError as error:
        place.close()
        raise ConfigError(f"{host} port {port} cannot be listened at ({error.strerror or error}); choose another --port.") from None
    return place


def _set_threads(count: int | None) -> None:
    from evenface.errors import ConfigError

    if count is None:
        return
    if count < 1:
        raise ConfigError(f"--threads must be at least 1, not {count}.")
    import cv2

    cv2.setNumThreads(count)


def _say(host: str, place: socket.socket, recognizer: object, token: str | None) -> None:
    port = place.getsockname()[1]
    name, detector = getattr(recognizer, "name", ""), getattr(getattr(recognizer, "detector", None), "name", "")
    print(
        f"serving   http://{f'[{host}]' if ':' in host else host}:{port}/  model {name}, detector {detector}", file=sys.stderr, flush=True
    )
    if token is None and host not in LOCAL:
        print(
            "warning   everyone who can reach this address may use it; set EVENFACE_TOKEN, or listen at 127.0.0.1",
            file=sys.stderr,
            flush=True,
        )
