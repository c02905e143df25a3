"""Style sheets, scripts and the icon, held in memory under content-hashed names."""

import gzip
import hashlib
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

STATIC = "/console/static/"
"""Where the files are served, under any name of the broker."""

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_DIGEST_CHARACTERS = 16
_FOREVER = {
    "cache-control": "public, max-age=31536000, immutable",
    "vary": "accept-encoding",
}


class _File(Struct, frozen=True):
    content: bytes
    packed: bytes
    media_type: str


class StaticFiles:
    """The files in ``static/``, each served as ``{stem}.{hash}{suffix}``."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._names: dict[str, str] = {}
        for path in sorted(_FOLDER.iterdir()):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:_DIGEST_CHARACTERS]
            name = f"{path.stem}.{digest}{path.suffix}"
            packed = gzip.compress(content, mtime=0)
            self._files[name] = _File(content, packed, _TYPES[path.suffix])
            self._names[path.name] = name

    def url(self, name: str) -> str:
        """The file's path, which browsers may cache forever."""
        return f"{STATIC}{self._names[name]}"

    def answer(self, request: Request, name: str) -> Response:
        """The file, compressed for browsers that accept it, or 404."""
        file = self._files.get(name)
        if file is None:
            return Response(status_code=404)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                file.packed,
                media_type=file.media_type,
                headers={**_FOREVER, "content-encoding": "gzip"},
            )
        return Response(file.content, media_type=file.media_type, headers=_FOREVER)
