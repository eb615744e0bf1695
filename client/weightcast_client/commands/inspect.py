"""The command `client inspect`: what is in a model, and what of it would meet the noise."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from weightcast.models.weights import Model


def inspect(
    file: Annotated[
        str,
        typer.Argument(
            help="A shipped model (see `client models`), a safetensors file, an index of shards, or"
            " a folder with one of them."
        ),
    ],
    include: Annotated[
        list[str] | None,
        typer.Option(
            help="Only tensors whose name matches are weights: a shell pattern such as 'layer4.*',"
            " with ! in front the opposite; repeatable."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Tensors whose name matches, likewise, are carried; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show each tensor of a model: type, shape, whether it is sent as weights, and its values.

    Carried tensors are sent without errors. Nothing is written, and the model may be larger than
    memory.

    Examples:

      client inspect model.safetensors

      client inspect model.safetensors.index.json --exclude 'lm_head.*' --json
    """
    from pathlib import Path

    from weightcast.models import zoo
    from weightcast.models.naming import chosen_by
    from weightcast.models.weights import open_model

    path = zoo.find(file)
    name = file if file in zoo.models() else Path(file).name
    with open_model(path, chosen_by(include or [], exclude or []), empty=True) as model:
        found = {"model": name, "digest": model.digest(), **_contents(model)}
    if as_json:
        print(json.dumps(found))
    else:
        _show(found)


def _contents(model: "Model") -> dict[str, Any]:
    """Return the facts about a model, with the keys of the command's JSON."""
    from dataclasses import asdict

    from weightcast.models.values import ranges
    from weightcast_client.screen.console import Screen

    layout = model.layout
    total = layout.n_weights + layout.carried_values
    tensors, done = [], 0
    with Screen() as screen:
        for tensor, is_weight, values in ranges(model):
            done += tensor.n_values
            screen.report("read", done, total)
            facts = {
                "name": tensor.name,
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "role": "weights" if is_weight else "carried",
                "share": 100 * tensor.n_values / total if total else 0.0,
            }
            tensors.append(facts | asdict(values))
    return {
        "files": [path.name for path in model.files],
        "n_tensors": len(tensors),
        "n_values": total,
        "n_weights": layout.n_weights,
        "n_carried": layout.carried_values,
        "carried_bytes": layout.carried_bytes,
        "notes": list(model.notes),
        "tensors": tensors,
    }


def _show(found: dict[str, Any]) -> None:
    from weightcast.models.naming import shown
    from weightcast_client.screen.console import show_table

    # Two lines a tensor: in one, the numbers would not fit a terminal of 80 columns.
    columns = ["sent as\nshare", "tensor", "type\nshape", "min\nmax", "largest", "nan\ninf"]
    rows = [
        [
            f"{one['role']}\n{one['share']:.2f} %",
            shown(one["name"])[1:-1],
            f"{one['dtype']}\n{'×'.join(map(str, one['shape'])) or 'scalar'}",
            f"{_number(one['low'])}\n{_number(one['high'])}",
            _number(one["largest"]),
            f"{_number(one['n_nan'])}\n{_number(one['n_inf'])}",
        ]
        for one in found["tensors"]
    ]
    show_table(columns, rows)
    files = "file" if len(found["files"]) == 1 else "files"
    print(
        f"{found['n_tensors']:,} tensors in {len(found['files']):,} {files}, {found['n_values']:,}"
        f" values: {found['n_weights']:,} sent as weights, {found['n_carried']:,} carried"
        f" ({found['carried_bytes']:,} bytes)"
    )
    for note in found["notes"]:
        print(f"note: {note}")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
