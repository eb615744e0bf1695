"""The command `client`."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from weightcast.channels import CHANNELS, DEFAULT_CHANNEL
from weightcast.coding import DEFAULT_SCHEME, SCHEMES
from weightcast.errors import ParameterError
from weightcast.learning import zoo
from weightcast_client.reproduce import reproduce
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
    from weightcast.learning.architectures import architecture_of
    from weightcast.learning.weights import chosen_by, open_model
    from weightcast.randomness import Noise
    from weightcast.registry import build
    from weightcast_client.clean import clean_accuracy
    from weightcast_client.testbed import own_link, own_services

    settings = Settings()
    Noise(seed=seed)
    chosen_scheme = build(SCHEMES, scheme, _pairs(set_), "scheme")
    channel_params = _pairs(channel_set) | ({} if std is None else {"std": std})
    chosen_channel = build(CHANNELS, channel, channel_params, "channel")
    with ExitStack() as stack:
        opened = stack.enter_context(
            open_model(zoo.find(model), chosen_by(include or [], exclude or []))
        )
        if evaluate:
            architecture_of(opened.layout)
        if link is not None:
            url = link
        elif receiver is not None:
            url = stack.enter_context(own_link(receiver))
        else:
            url, _ = stack.enter_context(own_services(settings.cache, evaluate=evaluate))

        with without_collection():  # The services start while this process goes on importing.
            from weightcast.learning import data as cifar10
            from weightcast_client.screen import Screen, show_result
            from weightcast_client.send import Order, make_plan
            from weightcast_client.send import send as send_once
            from weightcast_client.transport import Transport

        screen = stack.enter_context(Screen())
        if evaluate:
            cifar10.ensure(settings.cache, screen.report)
        transport = Transport(
            url,
            connect_timeout_s=settings.connect_timeout_s,
            answer_timeout_s=settings.answer_timeout_s,
            tries=settings.tries,
        )
        stack.callback(transport.close)
        order = Order(
            model_name=model if model in zoo.models() else Path(model).name,
            model=opened,
            scheme_name=scheme,
            scheme=chosen_scheme,
            channel_name=channel,
            channel=chosen_channel,
            seed=seed,
            evaluate=evaluate,
            n_images=limit,
        )
        plans = make_plan(order)
        transport.probe(link or receiver)
        results = [
            send_once(order, plans, stream, transport, settings.flights, screen)
            for stream in range(repeat)
        ]
        result = _summary(results)
        if evaluate:
            result["clean_accuracy"] = clean_accuracy(
                opened, settings.cache, limit, result["arithmetic"], screen
            )
    if as_json:
        print(json.dumps(result))
    else:
        show_result(result)


app.command()(reproduce)
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


def _pairs(texts: list[str] | None) -> dict[str, Any]:
    pairs = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ParameterError(f"expected key=value, got '{text}'")
        pairs[key] = value
    return pairs


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the result of one draw, or the mean over several with its interval."""
    first = results[0]
    if len(results) == 1:
        return first
    from weightcast.intervals import mean_and_interval

    seconds = {k: sum(r["seconds"][k] for r in results) for k in first["seconds"]}
    summary = first | {
        "transmissions": [r["transmission"] for r in results],
        "weight_mse": sum(r["weight_mse"] for r in results) / len(results),
        "seconds": seconds,
    }
    if first["accuracy"] is not None:
        accuracies = [r["accuracy"] for r in results]
        mean, low, high = mean_and_interval(accuracies)
        summary |= {
            "accuracy": mean,
            "accuracy_mean": mean,
            "accuracy_low": low,
            "accuracy_high": high,
            "accuracies": accuracies,
        }
    return summary


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
