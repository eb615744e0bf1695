"""The send that a service does once, when it starts for the first time."""

import hashlib
import json
import logging
import secrets
from asyncio import to_thread
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from weightcast_client.service.bodies import SendBody
from weightcast_client.service.store import FINISHED, Row, Store
from weightcast_web.events.changes import Changes
from weightcast_web.telemetry.logs import tell

_log = logging.getLogger(__name__)


async def follow_first(
    body: SendBody, store: Store, changes: Changes, wake: Callable[[], None]
) -> None:
    """Queue a send unless it has been queued before, and log what came of it."""
    text = body.model_dump_json()
    key = f"first-{hashlib.sha256(text.encode()).hexdigest()}"
    row = await to_thread(store.create, secrets.token_hex(16), text, key, None)
    if row.state not in FINISHED:
        tell(_log, "sending a first model, which is evaluated as it arrives, then as it was")
    wake()
    async with aclosing(changes.follow(row.id)) as news:
        async for _ in news:
            row = await to_thread(store.get, row.id)
            if row.state in FINISHED:
                tell(_log, told(row))
                return


def told(row: Row) -> str:
    """Return in one line what came of the first send."""
    if row.error is not None:
        return f"the first send failed: {json.loads(row.error)['detail']}"
    if row.result is None:
        return "the first send was cancelled"
    result: dict[str, Any] = json.loads(row.result)
    what = f"weight MSE {result['weight_mse']:.4g}"
    if result["accuracy"] is not None:
        what = f"{result['accuracy']:.2f} %, clean {result['clean_accuracy']:.2f} %"
    return f"the first send, {result['model']} at std {result['std']}, arrived with {what}"
