"""Intake: what arrives is kept on disk and noted in the database. Everything here may block."""

import secrets
import shutil
import threading
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from weightcast.wire.header import parse_header
from weightcast.wire.side import SideReader
from weightcast.wire.transmission import Transmission, check
from weightcast_server.settings import Settings
from weightcast_server.storing.files import Folder, deleting_refused, keep_under
from weightcast_server.storing.store import Store
from weightcast_server.storing.tables import OPEN, Row
from weightcast_web import failpoints
from weightcast_web.refusal import Refusal

LARGE, REMEMBERED_LARGE = 1 << 18, 2
"""Characters of a header beyond which only so many are kept: it takes ten times its size."""
REMEMBERED = 100
"""Headers kept checked; the others are checked again."""
INDEX_BYTES = 1 << 20
INDEX_TO_HEADER = 8
"""The index of the side information takes less than `INDEX_BYTES` and so many times the header,
which names the same tensors in fewer letters."""


class Intake:
    """The transmissions that are taken in, from their headers to the word that all is there.

    Args:
        store: the database, which decides what counts.
        root: folder of the transmissions' folders.
        settings: limits.
    """

    def __init__(self, store: Store, root: Path, settings: Settings) -> None:
        self._store, self._root, self._settings = store, root, settings
        self._checked = lru_cache(REMEMBERED)(_checked)
        self._checked_large = lru_cache(REMEMBERED_LARGE)(_checked)
        self._checking = threading.Lock()

    def folder(self, id_: str) -> Folder:
        """Return the files of a transmission."""
        return Folder(self._root / id_)

    def transmission(self, row: Row) -> Transmission:
        """Return what the header says."""
        is_large = len(row.header) > LARGE
        with self._checking:  # The parts that come first ask at the same time.
            return self._checked_large(row.header) if is_large else self._checked(row.header)

    def create(self, text: bytes, key: str | None) -> tuple[Row, bool]:
        """Open a transmission; return it and whether it is new.

        Args:
            text: the header.
            key: the same key gives the same transmission.

        Raises:
            WeightcastError: the header is not one, or what it announces cannot be taken.
        """
        header = parse_header(text, self._settings.max_header_bytes)
        needed = self._admit(check(header))
        id_ = secrets.token_hex(16)
        row = self._store.create(id_, text.decode(), key, self._settings, needed)
        failpoints.reach("created")
        if row.state in OPEN:
            # Also when the key is known: whoever added the row may have died before this line.
            self.folder(row.id).create()
            failpoints.reach("folder-made")
        return row, row.id == id_

    def _admit(self, transmission: Transmission) -> int:
        """Return the bytes it needs; refuse what cannot be kept or evaluated."""
        header, limits = transmission.header, self._settings
        if header.n_symbols > limits.max_symbols:
            detail = f"{header.n_symbols} symbols, at most {limits.max_symbols} allowed"
            raise Refusal(413, "too-long", detail)
        if limits.production and getattr(transmission.setup.task, "folder", None) is not None:
            raise Refusal(403, "folder", "production reads no folder that a caller names")
        needed = 4 * header.n_symbols + 4 * header.n_weights + header.n_weights // 4
        needed += 2 * transmission.layout.carried_bytes + array_bytes(transmission)
        if shutil.disk_usage(limits.data).free < needed + limits.spare_bytes:
            detail = f"there is no room for the {needed} bytes this would take"
            raise Refusal(507, "disk-full", detail)
        return needed

    def part_bytes(self, row: Row, n: int, stamp: str | None) -> int:
        """Return the length of a part.

        Args:
            row: the transmission.
            n: number of the part.
            stamp: what the field `STAMP` of its request says.

        Raises:
            FormatError: there is no such part.
            Refusal: 409, it has not been through the channel that the header names.
        """
        transmission = self.transmission(row)
        n_bytes = transmission.header.part_bytes(n)
        channel = transmission.setup.channel.name
        if stamp != channel and not (stamp is None and transmission.setup.channel.is_clean):
            went = f"part {n} went through {stamp or 'no channel'}"
            raise Refusal(409, "channel", f"{went}, the header says {channel}")
        return n_bytes

    def keep_part(self, row: Row, n: int, file: BinaryIO | None, digest: str) -> bool:
        """Keep the symbols of a part; return whether they are new.

        Args:
            row: the transmission as it was when the body began.
            n: number of the part.
            file: under a name of its own in the folder of the parts; it gets its final name. None:
                nothing is kept any more, a repeat is known by its digest.
            digest: SHA-256 of the symbols, hexadecimal.

        Raises:
            WeightcastError: other ones came before.
        """
        folder = self.folder(row.id)
        path = folder.part(n, digest)
        there = self._store.parts(row.id).get(n)
        is_kept = there == digest and path.exists()
        if file is not None and there in (None, digest) and not is_kept:
            keep_under(file, path)
        with deleting_refused(folder, path):
            self._store.take_part(row.id, n, digest)
        failpoints.reach("part-noted")
        return there is None

    def max_side_bytes(self, row: Row) -> int:
        """Return a cap on the side information and carried tensors of a transmission."""
        transmission = self.transmission(row)
        planes = transmission.header.n_weights // 4 + transmission.layout.carried_bytes
        planes += array_bytes(transmission)
        index = INDEX_BYTES + INDEX_TO_HEADER * len(row.header)
        return min(planes + index, self._settings.max_side_bytes)

    def keep_side(self, row: Row, file: BinaryIO | None, digest: str) -> bool:
        """Check and keep side information; return whether it is new.

        Args:
            row: the transmission as it was when the body began.
            file: under a name of its own in the transmission's folder; it gets its final name. None
                as for `keep_part`.
            digest: SHA-256 of the file, hexadecimal.

        Raises:
            WeightcastError: it is not what the header promises, or another one came before.
        """
        if file is None:
            self._store.take_side(row.id, digest)
            return False
        file.flush()
        reader = SideReader(Path(file.name), self.transmission(row))
        try:
            reader.check()
        finally:
            reader.close()
        folder = self.folder(row.id)
        path = folder.side(digest)
        now = self._store.get(row.id)
        if now.state in OPEN and now.side_digest in (None, digest):
            keep_under(file, path)
        with deleting_refused(folder, path):
            self._store.take_side(row.id, digest)
        failpoints.reach("side-noted")
        return now.side_digest is None

    def on_disk(self, row: Row) -> tuple[list[int], bool]:
        """Return which parts have arrived and are still there, and whether the side has."""
        folder = self.folder(row.id)
        has_side = row.side_digest is not None and folder.side(row.side_digest).exists()
        return folder.present(self._store.parts(row.id)), has_side

    def complete(self, row: Row) -> int:
        """Queue a transmission that is all there; return its parts.

        Raises:
            Refusal: 409, with what is missing.
        """
        parts, has_side = self.on_disk(row)
        missing = sorted(set(range(self.transmission(row).header.n_parts)) - set(parts))
        if missing or not has_side:
            what = f"{len(missing)} parts" + ("" if has_side else ", side information")
            raise Refusal(
                409,
                "incomplete",
                f"missing: {what}",
                missing_parts=missing[:1000],
                missing_side=not has_side,
            )
        self._store.queue(row.id)
        failpoints.reach("queued")
        return len(parts)


def _checked(text: str) -> Transmission:
    return check(parse_header(text.encode(), len(text) * 4))


def array_bytes(transmission: Transmission) -> int:
    """Return the bytes of the arrays of a transmission's plan."""
    return sum(array.n_bytes for array in transmission.header.plan_arrays)
