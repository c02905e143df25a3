"""An identity provider's metadata as it is published: signed, grouped, over HTTP."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lxml import etree

from tests.support.saml_idp import KeyPair, metadata_xml, sign_element

MD = "urn:oasis:names:tc:SAML:2.0:metadata"


def signed_metadata(
    signer: KeyPair, *keys: KeyPair, attributes: str = "", **knobs: str
) -> str:
    """Metadata of the entity with these signing keys, signed as a whole."""
    text = metadata_xml(*keys, attributes=f' ID="_m1"{attributes}', wrap=False, **knobs)  # type: ignore[arg-type]
    return sign_document(text, signer)


def sign_document(text: str, signer: KeyPair) -> str:
    root = etree.fromstring(text)
    sign_element(root, signer)
    return etree.tostring(root, encoding="unicode")


def group(*entities: str, attributes: str = ' ID="_g1"') -> str:
    return (
        f'<md:EntitiesDescriptor xmlns:md="{MD}"{attributes}>'
        f"{''.join(entities)}</md:EntitiesDescriptor>"
    )


class Publisher:
    """A web server with one document; ``answer`` may be changed at any time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.text = ""
        self.hits = 0
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self.publish

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/metadata"

    def publish(self, handler: BaseHTTPRequestHandler) -> None:
        body = self.text.encode()
        handler.send_response(200)
        handler.send_header("content-type", "application/samlmetadata+xml")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def fail(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_error(503)


@contextmanager
def publishing(text: str = "") -> Iterator[Publisher]:
    """A publisher on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            publisher.hits += 1
            publisher.answer(self)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    publisher = Publisher(server.server_address[1])
    publisher.text = text
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield publisher
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
