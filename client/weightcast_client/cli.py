"""The command `client`."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from weightcast.channels import CHANNELS, DEFAULT_CHANNEL
from weightcast.coding import DEFAULT_SCHEME, SCHEMES
from weightcast.models import zoo
from weightcast_client.equalise import equalise
from weightcast_client.pairs import pairs
from weightcast_client.reproduce import reproduce
from weightcast_client.service.command import serve
from weightcast_client.settings import Settings
from weightcast_client.summary import summary
from weightcast_client.sweep import sweep
from weightcast_client.train import train
from weightcast_web.command import run
from weightcast_web.imports import without_collection

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Send the weights of neural networks as analog symbols over a noisy link.

    Start with `client send --std 0.1`.
    """


@app.command()
def send(
    std: Annotated[
        float | None,
        typer.Option(help="Noise standard deviation per real symbol; symbols are in [-1, 1]."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="A shipped model (see `client models`) or a safetensors file.")
    ] = zoo.DEFAULT_MODEL,
    scheme: Annotated[str, typer.Option(help="See `client schemes`.")] = DEFAULT_SCHEME,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A param of the scheme, key=value; repeatable."),
    ] = None,
    channel: Annotated[str, typer.Option(help="See `client channels`.")] = DEFAULT_CHANNEL,
    channel_set: Annotated[
        list[str] | None, typer.Option(help="A param of the channel, key=value; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise, 0 .. 2**64 - 1.")] = 0,
    repeat: Annotated[int, typer.Option(min=1, help="Independent noise draws.")] = 1,
    receiver: Annotated[
        str | None, typer.Option(help="URL of a receiver; a link to it is started here.")
    ] = None,
    link: Annotated[str | None, typer.Option(help="URL of a link; it knows its receiver.")] = None,
    key: Annotated[
        str | None, typer.Option(help="What was sent under this key before is gone on with.")
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(help="Only tensors whose name matches are weights; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Tensors whose name matches are carried; repeatable.")
    ] = None,
    evaluate: Annotated[bool, typer.Option(help="Report the accuracy on CIFAR-10.")] = True,
    limit: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Only the first N test images.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Send a model over the noisy link and report the accuracy that arrives.

    A link, and without --receiver a receiver too, are started on this machine, talked to over HTTP,
    and stopped at the end; with --link URL nothing is started.

    Examples:

      client send --std 0.1

      client send --std 0.5 --scheme adaptive-redundancy --set r_large=20 --repeat 5

      client send --std 0.1 --model my.safetensors --no-evaluate --json
    """
    from weightcast_client.order import Wish
    from weightcast_client.testbed import own_link, own_services

    settings = Settings()
    wish = Wish(
        model_name=model if model in zoo.models() else Path(model).name,
        path=zoo.find(model),
        scheme=scheme,
        params=pairs(set_),
        channel=channel,
        channel_params=pairs(channel_set),
        std=std,
        seed=seed,
        evaluate=evaluate,
        n_images=limit,
        include=include or [],
        exclude=exclude or [],
    )
    with ExitStack() as stack:
        order = stack.enter_context(wish.open())
        link = link or (settings.link if receiver is None else None)
        if link is None:
            settings = settings.with_token()
        if link is not None:
            url = link
        elif receiver is not None:
            url = stack.enter_context(own_link(receiver, settings))
        else:
            url, _ = stack.enter_context(own_services(settings, evaluate=evaluate))

        with without_collection():  # The services start while this process goes on importing.
            from weightcast_client.draws import send_draws
            from weightcast_client.screen import Screen, show_result
            from weightcast_client.send import make_plan
            from weightcast_client.transport import transport_to

        screen = stack.enter_context(Screen())
        transport = stack.enter_context(transport_to(url, settings))
        plans = make_plan(order)
        transport.probe(link or receiver)
        result = send_draws(order, plans, repeat, transport, settings, screen, key=key)
    if as_json:
        print(json.dumps(result))
    else:
        show_result(result)


app.command()(equalise)
app.command()(reproduce)
app.command()(serve)
app.command()(sweep)
app.command()(summary)
app.command()(train)


@app.command()
def schemes() -> None:
    """List the coding schemes and their params."""
    _show_registry(SCHEMES)


@app.command()
def channels() -> None:
    """List the channels and their params."""
    _show_registry(CHANNELS)


@app.command()
def models() -> None:
    """List the trained models that come with weightcast."""
    from weightcast_client.screen import show_table

    rows = []
    for name, path in zoo.models().items():
        card = zoo.card(name)
        accuracy = 100 * card["test_correct_float32"] / card["test_images"]
        size = path.stat().st_size / 1e6
        rows.append(
            [name, card["architecture"], f"{accuracy:.2f} %", f"{size:.0f} MB", card["setting"]]
        )
    show_table(["model", "architecture", "test accuracy", "size", "setting"], rows)


@app.command()
def data() -> None:
    """Fetch CIFAR-10 into the cache, unless it is there, and verify it."""
    from weightcast.learning.data import fetch
    from weightcast_client.screen import Screen

    cache = Settings().cache
    with Screen() as screen:
        source = fetch(cache, screen.report)
    typer.echo(f"CIFAR-10 is in {cache} and verified (source: {source})", err=True)


def _show_registry(registry: dict[str, Any]) -> None:
    from dataclasses import MISSING, fields

    from weightcast_client.screen import show_table

    rows = []
    for name, cls in registry.items():
        params = [
            f.name if f.default is MISSING else f"{f.name}={f.default!r}" for f in fields(cls)
        ]
        first = (cls.__doc__ or "").partition("\n")[0]
        rows.append([name, "\n".join(params), first])
    show_table(["name", "params", "what it does"], rows)


def main() -> None:
    """Entry point."""
    run(app)


if __name__ == "__main__":
    main()
