"""The command `client`."""

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from weightcast.channels import CHANNELS, DEFAULT_CHANNEL
from weightcast.coding import DEFAULT_SCHEME, SCHEMES
from weightcast.decoding import DECODERS, DEFAULT_DECODER
from weightcast.errors import ParameterError
from weightcast.models import zoo
from weightcast.registry import build
from weightcast.tasks import DEFAULT_TASK, TASKS
from weightcast_client.commands.convert import convert
from weightcast_client.commands.equalise import equalise
from weightcast_client.commands.fit import fit
from weightcast_client.commands.inspect import inspect
from weightcast_client.commands.registries import show_kind
from weightcast_client.commands.reproduce import reproduce
from weightcast_client.commands.serve import serve
from weightcast_client.commands.summary import summary
from weightcast_client.commands.sweep import sweep
from weightcast_client.commands.train import train
from weightcast_client.options import PluginFiles, load_plugins, pairs, show_version, std_of
from weightcast_client.settings import Settings
from weightcast_web.running.command import run
from weightcast_web.running.imports import without_collection

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
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
    decoder: Annotated[str, typer.Option(help="See `client decoders`.")] = DEFAULT_DECODER,
    decoder_set: Annotated[
        list[str] | None, typer.Option(help="A param of the decoder, key=value; repeatable.")
    ] = None,
    snr_db: Annotated[
        float | None, typer.Option(help="Peak SNR 1 / std^2 in dB, in place of --std.")
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
        typer.Option(
            help="Only tensors that match are weights: a shell pattern such as 'layer4.*', ! in"
            " front for the opposite; repeatable."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Tensors that match are carried; repeatable.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="What accuracy means, see `client tasks`; by default told by the model."),
    ] = None,
    task_set: Annotated[
        list[str] | None, typer.Option(help="A param of the task, key=value; repeatable.")
    ] = None,
    evaluate: Annotated[bool, typer.Option(help="Report the accuracy of the task.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N test samples.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep the received model: a .safetensors file or a folder.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Let --out replace what is there.")] = False,
    plugin: PluginFiles = None,
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
    from weightcast.experiment.examiner import setup_for
    from weightcast.models.files.saving import check_out, save_received
    from weightcast.models.weights import chosen_by, open_model
    from weightcast_client.options import setup_spec
    from weightcast_client.sending.testbed import own_link, own_services

    if out is not None and repeat > 1:
        raise ParameterError(f"--out keeps the model of one draw, --repeat asks for {repeat}")
    if out is not None:
        check_out(out, replace=force)
    load_plugins(plugin)
    settings = Settings()
    spec = setup_spec(
        scheme=(scheme, set_),
        decoder=(decoder, decoder_set),
        channel=(channel, channel_set),
        task=(task, task_set) if evaluate else None,
        std=std_of(std, snr_db),
        seed=seed,
        n_samples=limit,
    )
    with ExitStack() as stack:
        opened = stack.enter_context(
            open_model(
                zoo.find(model),
                chosen_by(include or [], exclude or []),
                name=model if model in zoo.models() else Path(model).resolve().name,
            )
        )
        setup = setup_for(spec, opened, from_text=True)
        for note in opened.notes:
            typer.echo(f"warning: {note}", err=True)
        link = link or (settings.link if receiver is None else None)
        if link is None:
            settings = settings.with_token()
        if link is not None:
            url = link
        elif receiver is not None:
            url = stack.enter_context(own_link(receiver, settings))
        else:
            url, _ = stack.enter_context(own_services(settings, setup.task))

        with without_collection():  # The services start while this process goes on importing.
            from weightcast_client.screen.console import Screen, show_result
            from weightcast_client.sending.draws import send_draws
            from weightcast_client.sending.send import make_plan
            from weightcast_client.sending.transport import transport_to

        screen = stack.enter_context(Screen())
        transport = stack.enter_context(transport_to(url, settings))
        plans = make_plan(opened, setup)
        transport.probe(link or receiver)
        result = send_draws(
            opened,
            setup,
            plans,
            repeat,
            transport,
            settings,
            screen,
            key=key,
            keep=partial(save_received, out=out, like=opened, replace=force) if out else None,
        )
    if as_json:
        print(json.dumps(result))
    else:
        show_result(result)


app.command()(convert)
app.command()(equalise)
app.command()(fit)
app.command()(inspect)
app.command()(reproduce)
app.command()(serve)
app.command()(sweep)
app.command()(summary)
app.command()(train)


@app.command()
def schemes(plugin: PluginFiles = None) -> None:
    """List the coding schemes and their params."""
    show_kind(SCHEMES, plugin)


@app.command()
def decoders(plugin: PluginFiles = None) -> None:
    """List the decoders and their params."""
    show_kind(DECODERS, plugin)


@app.command()
def channels(plugin: PluginFiles = None) -> None:
    """List the channels and their params."""
    show_kind(CHANNELS, plugin)


@app.command()
def tasks(plugin: PluginFiles = None) -> None:
    """List the tasks and their params."""
    show_kind(TASKS, plugin)


@app.command()
def models() -> None:
    """List the trained models that come with weightcast."""
    from weightcast_client.screen.console import show_table

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
def data(
    task: Annotated[str, typer.Argument(help="See `client tasks`.")] = DEFAULT_TASK,
    task_set: Annotated[
        list[str] | None, typer.Option(help="A param of the task, key=value; repeatable.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option("--from", help="Take the data from this archive.")
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Fetch the data of a task into the cache, unless they are there, and verify them.

    Examples:

      client data

      client data mnist

      client data --from cifar-10-binary.tar.gz
    """
    from weightcast_client.screen.console import Screen

    load_plugins(plugin)
    chosen = build(TASKS, {"name": task} | pairs(task_set), from_text=True)
    cache = Settings().cache
    with Screen() as screen:
        source = chosen.fetch(cache, screen.report, archive)
    typer.echo(f"the data of {task} are in {cache} and verified (source: {source})", err=True)


def main() -> None:
    """Entry point."""
    run(app)


if __name__ == "__main__":
    main()
