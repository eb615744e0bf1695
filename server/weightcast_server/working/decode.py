"""Decoding: from the files of a transmission to a model."""

import hashlib
from collections.abc import Callable, Iterator, Sequence

from weightcast.arrays import Symbols, Weights
from weightcast.models.weights import put_together
from weightcast.pipeline import decode_block, in_threads
from weightcast.wire.header import Header
from weightcast.wire.side import Block, SideReader
from weightcast.wire.transmission import check
from weightcast_server.storing.files import Folder, SymbolReader, new_file


def decode(
    header: Header,
    folder: Folder,
    parts: Sequence[str],
    side_digest: str,
    report: Callable[[int, int], None],
) -> str:
    """Decode what has arrived and write the model; return the SHA-256 of its float32 weights.

    Args:
        header: of the transmission.
        folder: its files.
        parts: SHA-256 of each part, in order, hexadecimal.
        side_digest: SHA-256 of the side information.
        report: called with (weights done, all weights).

    Raises:
        FormatError: a part is corrupt, or the side information does not fit.
    """
    transmission = check(header)
    side = SideReader(folder.side(side_digest), transmission)
    try:
        symbols = SymbolReader(folder.symbols(parts))
        digest = hashlib.sha256()
        pieces = ((block, symbols.take(block.n_symbols)) for block in side.blocks())

        def one(piece: tuple[Block, Symbols]) -> Weights:
            (at, n, bits, at_symbol, _), arrived = piece
            setup, plan = transmission.setup, side.plan
            return decode_block(setup, plan, at, n, arrived, at_symbol, bits)

        def weights() -> Iterator[Weights]:
            done = 0
            for block in in_threads(one, pieces):
                digest.update(block.data)
                done += len(block)
                yield block
                report(done, header.n_weights)

        with new_file(folder.model) as file:
            put_together(file, transmission.layout, weights(), side.carried())
        return digest.hexdigest()
    finally:
        side.close()
