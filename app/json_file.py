"""A JSON file that somebody gave, read whole: of a bounded size, with or without a byte order mark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.errors import InvalidInput


def read_json(path: Path, field: str, form: str, largest: int) -> Any:
    """What is in a file.

    Args:
        field: what the file is to whoever gave it.
        form: what is accepted, for the error.
        largest: bytes; what is parsed takes up to some twenty times as much in memory.

    Raises:
        InvalidInput: it cannot be read, is larger, or is not JSON.
    """
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
        if len(content) > largest:
            raise InvalidInput(field, path.name, f"a file of at most {largest:,} bytes")
        return json.loads(content)  # bytes: so a byte order mark is passed over
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(field, path.name, f"{form} ({error})") from None
