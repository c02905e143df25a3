"""What programs found, for the page that says how the broker is tested."""

import json
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "artefacts"
EVIDENCE = FOLDER / "evidence.json"


def keep(name: str, path: Path = EVIDENCE, **match: object) -> None:
    """Write it under the name, with the day, in place of an earlier run's."""
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    kept[name] = {"date": datetime.now(UTC).date().isoformat(), **match}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", "utf-8")
