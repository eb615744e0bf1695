"""Every deliberate error of weightcast.

::

    WeightcastError
    ├── ParameterError (ValueError)      a scheme, channel or setting has a value it cannot have
    ├── UnknownNameError (LookupError)   no scheme, channel, model or architecture of that name
    ├── WeightsError (ValueError)        weights that cannot be sent: nan, infinity, too few
    ├── ModelError (ValueError)          a model file or layout that cannot be used
    ├── DataError (ValueError)           a data set that is missing or not the one it claims to be
    ├── FormatError (ValueError)         bytes that are not a valid header, part or side information
    └── LinkError (OSError)              the other end is not there, refuses, or breaks off
        ├── BadUse                       it cannot do what was asked for
        └── Gone                         it has no such transmission
"""


class WeightcastError(Exception):
    """Base of all deliberate errors."""


class ParameterError(WeightcastError, ValueError):
    """A parameter has a value outside its range."""


class UnknownNameError(WeightcastError, LookupError):
    """Nothing is registered under this name."""


class WeightsError(WeightcastError, ValueError):
    """The weights cannot be encoded."""


class ModelError(WeightcastError, ValueError):
    """A model file or its layout cannot be used."""


class DataError(WeightcastError, ValueError):
    """A data set is missing or is not what its digest promises."""


class FormatError(WeightcastError, ValueError):
    """Received bytes break the wire format."""


class LinkError(WeightcastError, OSError):
    """The other end of the link is absent, refuses or breaks off."""


class BadUse(LinkError):
    """The other end cannot do what was asked for; asking again will not help."""


class Gone(LinkError):
    """The other end has no such transmission."""
