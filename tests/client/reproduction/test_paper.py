"""The numbers of the paper agree with each other."""

import pytest

from weightcast_client.reproduction.paper import STDS, TABLES


def test_the_papers_tables_have_a_value_for_every_std() -> None:
    for table in TABLES:
        assert all(len(values) == len(STDS) for values in table.rows.values())
    # Its own table 5: no regularisation, std 0.1, no protection and adaptive protection.
    drops = [TABLES[1].clean - values[4] for values in TABLES[1].rows.values()]
    assert drops == pytest.approx([82.84, 0.21])
