"""Housekeeping: what expires and what crashes leave behind is deleted, so that space comes back."""

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path

from weightcast.errors import WeightcastError
from weightcast_server.settings import Settings
from weightcast_server.storing.files import Folder
from weightcast_server.storing.store import Store
from weightcast_web.telemetry.logs import tell

PAUSE_S = 60.0
STALE_S = 3600.0
"""A file that nobody has written to for so long is not being written; it is shorter than that for a
body (see `Limits`) and for a model, which grows with each block."""

_log = logging.getLogger(__name__)


async def run_housekeeping(store: Store, root: Path, settings: Settings) -> None:
    """Delete what is outdated every minute and leftovers every hour, until cancelled.

    Args:
        store: the database.
        root: folder of the transmissions' folders.
        settings: how long what is kept.
    """
    cleared = time.monotonic()
    while True:
        try:
            await asyncio.to_thread(delete_outdated, store, root, settings)
            if time.monotonic() - cleared >= STALE_S:
                await asyncio.to_thread(delete_leftovers, store, root, STALE_S)
                cleared = time.monotonic()
        except (WeightcastError, OSError) as error:
            tell(_log, "cannot tidy up", logging.WARNING, detail=error, in_s=PAUSE_S)
        await asyncio.sleep(PAUSE_S)


def delete_outdated(store: Store, root: Path, settings: Settings) -> None:
    """Let abandoned transmissions expire, and delete the files of those that are long over.

    The word in the database comes first, so that nobody is told of files that are no more; a crash
    in between is made good by the next time, at whichever receiver.
    """
    for id_ in store.expire(settings.keep_unfinished_s):
        tell(_log, "expired", logging.WARNING, transmission=id_)
    for id_ in store.outdated(settings.keep_finished_s):
        Folder(root / id_).remove()
        store.purge(id_)


def delete_leftovers(store: Store, root: Path, older_s: float) -> None:
    """Delete folders without a transmission and half-written files.

    Args:
        store: the database.
        root: folder of the transmissions' folders.
        older_s: leave what is younger; 0 where nobody else can be writing.
    """
    before = time.time() - older_s
    folders = list(root.iterdir())
    known = store.ids()  # Asked after the list is made: a row comes before its folder.
    for folder in folders:
        with suppress(FileNotFoundError):  # Another receiver deletes too.
            if folder.name not in known and folder.stat().st_mtime <= before:
                Folder(folder).remove()
            for file in folder.glob("**/*.new"):
                if file.stat().st_mtime <= before:
                    file.unlink()
