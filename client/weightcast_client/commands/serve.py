"""The command `client serve`."""

from typing import Annotated

import typer

from weightcast.errors import ParameterError
from weightcast_client.options import PluginFiles
from weightcast_client.settings import Settings
from weightcast_web.running.imports import without_collection


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    link: Annotated[str | None, typer.Option(help="URL of the link to send over.")] = None,
    plugin: PluginFiles = None,
    first_std: Annotated[
        float | None,
        typer.Option(help="Send the default model with this noise, once, and log the result."),
    ] = None,
) -> None:
    """Run the sender service: takes sends over HTTP and does them one after the other.

    Options that are not given come from the environment: WEIGHTCAST_CLIENT_LINK,
    WEIGHTCAST_CLIENT_DATA, WEIGHTCAST_CLIENT_PORT and so on.
    """
    from weightcast.setup import KINDS
    from weightcast_client.service.worker_process import start_worker
    from weightcast_web.running.lock import take
    from weightcast_web.running.sockets import listen
    from weightcast_web.telemetry import logs

    given = {"host": host, "port": port, "link": link, "plugins": plugin or None}
    settings = Settings(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    settings.load_plugins(KINDS)
    if settings.link is None:
        raise ParameterError("the sender service needs a link: --link or WEIGHTCAST_CLIENT_LINK")
    first = None
    if first_std is not None:
        from weightcast_client.service.bodies import SendBody

        first = SendBody(std=first_std)
        first.check(settings.models)
    logs.begin("sender", settings, attached=False)
    listener = listen(settings, None)
    lock = take(settings.data, "sender service")
    try:
        # The worker goes on importing meanwhile.
        worker = start_worker(settings)
        with without_collection():
            from weightcast_client.service.app import create_app
            from weightcast_web.running.run import serve

        serve(create_app(settings, worker, first), listener, settings, attached=False)
    finally:
        lock.close()
