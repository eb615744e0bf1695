"""A file in pieces of at most 15 MB: `python pieces.py FOLDER` joins and verifies those in it.

It needs nothing but Python.
"""

import hashlib
import json
import sys
from pathlib import Path

MOST_BYTES = 15_000_000


def cut(file: Path, folder: Path) -> None:
    """Write a file in pieces, with this module as `join.py` and what it verifies them by."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = file.read_bytes()
    names = []
    for at in range(0, len(whole), MOST_BYTES):
        names.append(f"{file.name}.{len(names):02}")
        (folder / names[-1]).write_bytes(whole[at : at + MOST_BYTES])
    facts = {"name": file.name, "pieces": names, "sha256": hashlib.sha256(whole).hexdigest()}
    (folder / "pieces.json").write_text(json.dumps(facts) + "\n")
    (folder / "join.py").write_bytes(Path(__file__).read_bytes())


def join(folder: Path) -> Path:
    """Put the pieces in a folder together and return the file; refuse what is not the same."""
    facts = json.loads((folder / "pieces.json").read_text())
    whole = b"".join((folder / name).read_bytes() for name in facts["pieces"])
    found = hashlib.sha256(whole).hexdigest()
    if found != facts["sha256"]:
        sys.exit(f"'{folder}' holds other bytes: SHA-256 {found}, not {facts['sha256']}")
    path = folder / str(facts["name"])
    path.write_bytes(whole)
    return path


if __name__ == "__main__":
    print(join(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)))
