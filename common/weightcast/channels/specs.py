"""Channel and noise as a setup names them in its JSON form: all of it that a link looks at."""

from collections.abc import Mapping
from typing import Any

from weightcast.channels import CHANNELS, DEFAULT_CHANNEL, Channel
from weightcast.errors import ParameterError
from weightcast.noise.gaussian import Noise
from weightcast.registry import Spec, assemble, build


def channel_and_noise(spec: Mapping[str, Any]) -> tuple[Channel, Noise]:
    """Return the channel and the noise that a setup's JSON form names.

    Raises:
        UnknownNameError, ParameterError: as for `registry.build`.
    """
    return build(CHANNELS, spec.get("channel")), assemble(
        Noise, {name: spec[name] for name in ("seed", "draw") if name in spec}, "noise"
    )


def with_std(spec: Mapping[str, Any], std: float | None) -> Spec:
    """Return a setup's JSON form with the std of the noise put into its channel.

    >>> with_std({"seed": 1}, 0.1)
    {'seed': 1, 'channel': {'name': 'awgn', 'std': 0.1}}

    Args:
        spec: fields of a setup; without a channel it is `DEFAULT_CHANNEL`.
        std: a param of most channels; None: nothing is put in.

    Raises:
        ParameterError: the channel has a std already.
    """
    channel = spec.get("channel", DEFAULT_CHANNEL)
    channel = {"name": channel} if isinstance(channel, str) else channel
    if std is not None and isinstance(channel, Mapping):
        if "std" in channel:
            raise ParameterError(f"std is given twice: {channel['std']} and {std}")
        channel = {**channel, "std": std}
    return {**spec, "channel": channel}
