"""Bodies of `POST /sends`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from weightcast.channels.specs import with_std
from weightcast.errors import ModelError
from weightcast.experiment.examiner import setup_for
from weightcast.models import zoo
from weightcast.models.weights import Model, open_model
from weightcast.registry import lookup
from weightcast.setup import Setup
from weightcast_web.callers import Limits
from weightcast_web.http.bodies import read_body
from weightcast_web.refusal import Refusal

MAX_BYTES = 1 << 16
MAX_DRAWS = 1000


class SendBody(BaseModel):
    """A send in words; what is not given is as for the command `client send`.

    Args:
        model: a shipped model or a file in the folder of models.
        setup: fields of a setup; a scheme, decoder, channel or task is a name or an object with
            a name and params. No task: what the model is recognised as; null: no accuracy.
        std: of the noise, a param of most channels.
        repeat: independent draws of the noise.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str = zoo.DEFAULT_MODEL
    setup: dict[str, JsonValue] = {}
    std: float | None = None
    repeat: Annotated[int, Field(ge=1, le=MAX_DRAWS)] = 1

    @contextmanager
    def open(self, models: Path) -> Iterator[tuple[Model, Setup]]:
        """Check it and yield model and setup; the model is open as long as the block lasts.

        Args:
            models: folder of the models that are not shipped.

        Raises:
            WeightcastError: a name, a param or the model cannot be used.
        """
        path = lookup(known_models(models), self.model, "model")
        spec = with_std(self.setup, self.std)
        try:
            with open_model(path, name=self.model) as model:
                yield model, setup_for(spec, model)
        except ModelError as error:
            # Where the file is, is not the caller's business.
            raise ModelError(str(error).replace(str(path), self.model)) from None

    def check(self, models: Path) -> None:
        """Raise what `open` would raise."""
        with self.open(models):
            pass


SEND_SCHEMA = SendBody.model_json_schema()


def known_models(folder: Path) -> dict[str, Path]:
    """Return the files of a folder and the shipped models by name.

    Names are looked up here and never made into paths, so none can lead out of the folder.
    """
    files = {path.name: path for path in folder.glob("*") if path.is_file()}
    return {n: path for n, path in files.items() if not path.is_symlink()} | zoo.models()


async def read_send(request: Request, limits: Limits) -> SendBody:
    """Return the body of a request that comes within the limits.

    Raises:
        Refusal: 415 not JSON; 413 too long; else as for `weightcast_web.http.bodies.pieces`.
        RequestValidationError: a field is unknown or has the wrong type.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        # Other types can be sent by any web page that the user has open.
        raise Refusal(415, "content-type", "a send is application/json")
    text = bytes(await read_body(request, MAX_BYTES, limits, needs_digest=False))
    try:
        return SendBody.model_validate_json(text)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None
