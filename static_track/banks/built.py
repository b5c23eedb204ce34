"""Import of a bank build's directory: find its rows, and check them against its manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from twinbench.errors import ContentError, Problem, UsageError
from twinbench.reading.input_files import InputError, InputRows, open_input, read_regular
from twinbench.reading.strict_json import parse_json

ROWS_FILE = "rows.jsonl.gz"
MANIFEST_FILE = "manifest.json"


def rows_of_build(folder: Path) -> Path:
    """Return the file of rows in a bank build's directory.

    Raises:
        UsageError: it is not a build's directory, or the build is not finished.
        ContentError: the rows do not have the hash that the manifest names.
    """
    rows, manifest = folder / ROWS_FILE, folder / MANIFEST_FILE
    try:
        content = parse_json(read_regular(manifest).decode())
        told = content["sha256"][ROWS_FILE]
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{folder} is a folder without {MANIFEST_FILE}, and a bank is one file of rows or the directory that "
            "twinbench bank build has finished: of runs of mini-swe-agent, add --format mini-swe-agent"
        ) from None
    except (OSError, InputError, ValueError, TypeError, KeyError) as error:
        what = f"is not the manifest of a bank build ({type(error).__name__}: {error})"
        raise ContentError([Problem(str(manifest), None, None, what)]) from None
    digest = hashlib.sha256()
    with open_input(rows) as file:
        try:
            for block in InputRows(file).blocks():
                digest.update(block)
        except InputError as error:
            raise ContentError([Problem(str(rows), None, None, str(error))]) from None
    if digest.hexdigest() != told:
        what = (
            f"its rows have the SHA-256 {digest.hexdigest()}, but {manifest.name} says {told}: one of them was changed"
        )
        raise ContentError([Problem(str(rows), None, None, what)], hint="Nothing was imported.")
    return rows
