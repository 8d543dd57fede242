"""Which faces a run leaves out: `--exclude FILE`.

    drop = read_excluded("verdicts.csv")        # {"fer0001234", ...}

FILE is a text with an id a line (what follows a comma is a remark), or a table with the columns `id` and `suggestion`, as `evenface data
audit` writes it: then the rows that say `exclude` count. A CSV whose first line names a column `id` and no suggestion counts whole.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from evenface.errors import ConfigError


EXCLUDE, KEEP, LEFT_OUT = "exclude", "keep", "left out"
"""What the column `suggestion` says of a face: that it should go, that it should stay, that its reader leaves it out anyway."""


def read_excluded(path: str | Path) -> set[str]:
    """The ids that the file names.

    Raises:
        ConfigError: the file cannot be read, is no text or no table, suggests to leave out no face, or says another word than the three.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"The list of ids to leave out cannot be read: {path} ({error.strerror}).") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text; --exclude takes a list of ids, one a line, or the verdicts.csv of an audit.") from None
    text = text.lstrip()
    try:
        head = [name.strip() for name in next(csv.reader(text.splitlines()[:1]), [])]
        if "id" not in head:
            return {line.split(",")[0].strip() for line in text.splitlines()} - {""}
        rows = list(csv.DictReader(io.StringIO(text, newline=""), fieldnames=head, restval=""))[1:]
    except csv.Error as error:
        raise ConfigError(f"{path} cannot be read as a table ({error}); look for a quotation mark that is not closed.") from error
    if "suggestion" not in head:
        return {row["id"].strip() for row in rows} - {""}
    said = [(row["id"].strip(), row["suggestion"].strip().lower()) for row in rows]
    wrong = next((word for _, word in said if word not in (EXCLUDE, KEEP, LEFT_OUT, "")), None)
    if wrong is not None:
        raise ConfigError(f"{path} says '{wrong}' in the column suggestion; write '{EXCLUDE}' or '{KEEP}' ('{LEFT_OUT}' is kept, too).")
    found = {name for name, word in said if word == EXCLUDE} - {""}
    if not found:
        raise ConfigError(f"{path} suggests to leave out no face; write '{EXCLUDE}' into the column suggestion of those that should go.")
    return found
