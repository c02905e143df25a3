"""Style sheets, scripts and the icon, held in memory under content-hashed names."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_DIGEST_CHARACTERS = 16
_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
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
            self._files[name] = _File(content, _TYPES[path.suffix])
            self._names[path.name] = name

    def url(self, name: str) -> str:
        """The file's path, which browsers may cache forever."""
        return f"/console/static/{self._names[name]}"

    def answer(self, name: str) -> Response:
        """The file, or 404."""
        file = self._files.get(name)
        if file is None:
            return Response(status_code=404)
        return Response(file.content, media_type=file.media_type, headers=_FOREVER)
