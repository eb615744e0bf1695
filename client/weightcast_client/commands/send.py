"""The command `client send`."""

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from weightcast.channels import DEFAULT_CHANNEL
from weightcast.coding import DEFAULT_SCHEME
from weightcast.decoding import DEFAULT_DECODER
from weightcast.errors import ParameterError
from weightcast.models import zoo
from weightcast_client.options import PluginFiles, load_plugins, std_of, with_home
from weightcast_client.settings import Settings
from weightcast_web.running.imports import without_collection


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
    draws: Annotated[
        int, typer.Option("--draws", "--repeat", min=1, help="Draws of the noise, independent.")
    ] = 1,
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
        Path | None,
        typer.Option(
            help="Keep the received model: a .safetensors file or a folder.", callback=with_home
        ),
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

      client send --std 0.5 --scheme adaptive-redundancy --set r_large=20 --draws 5

      client send --std 0.1 --model my.safetensors --no-evaluate --json
    """
    from weightcast.experiment.examiner import setup_for
    from weightcast.models.files.saving import check_out, save_received
    from weightcast.models.weights import chosen_by, open_model
    from weightcast_client.options import setup_spec
    from weightcast_client.sending.testbed import link_to

    _refuse_contradictions(
        {"--link": link, "--receiver": receiver},
        {"--no-evaluate": not evaluate, "--task": task},
        {"--no-evaluate": not evaluate, "--task-set": task_set},
        {"--no-evaluate": not evaluate, "--limit": limit},
    )
    if out is None and force:
        raise ParameterError("--force is for --out, which is not given")
    if out is not None and draws > 1:
        raise ParameterError(f"--out keeps the model of one draw, --draws asks for {draws}")
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
        url, settings = stack.enter_context(link_to(link, receiver, settings, setup.task))

        with without_collection():  # The services start while this process goes on importing.
            from weightcast_client.calling.transport import transport_to
            from weightcast_client.screen.console import Screen, show_result
            from weightcast_client.sending.draws import send_draws
            from weightcast_client.sending.planning import plan_send
            from weightcast_client.sending.watching import Watch

        screen = stack.enter_context(Screen())
        is_ours = link is None and receiver is None  # What is ours and away does not come back.
        waiting = None if is_ours else lambda line: screen.say(f"waiting: {line}")
        transport = stack.enter_context(transport_to(url, settings, waiting=waiting))
        what = plan_send(opened, setup)
        transport.probe(link or receiver)
        keep = partial(save_received, out=out, like=opened, replace=force) if out else None
        watch = Watch(report=screen.report, received=keep)
        result = send_draws(what, draws, transport, settings, watch, key=key)
    if as_json:
        print(json.dumps(result))
    else:
        show_result(result)


def _refuse_contradictions(*pairs: dict[str, object]) -> None:
    """Raise a `ParameterError` if both options of a pair are given."""
    for pair in pairs:
        if all(pair.values()):
            raise ParameterError(f"{' and '.join(pair)} contradict each other: give one of them")
