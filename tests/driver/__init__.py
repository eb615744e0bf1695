"""The services as tests drive them: calls, processes, models to be sent."""

import pytest

pytest.register_assert_rewrite("driver.calls", "driver.senders")
