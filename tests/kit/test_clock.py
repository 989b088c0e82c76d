import datetime as dt

import pytest
import time_machine

from config.kit import clock


@time_machine.travel(dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.UTC), tick=False)
def test_now_is_aware_and_in_utc():
    assert clock.now() == dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert clock.now().tzinfo is dt.UTC


def test_wire_is_utc_whatever_the_zone():
    moment = dt.datetime(2030, 1, 1, 1, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert clock.wire(moment) == "2029-12-31T23:30:00.000Z"


def test_wire_refuses_a_naive_time():
    with pytest.raises(AssertionError):
        clock.wire(dt.datetime(2030, 1, 1))  # noqa: DTZ001 - the point of the test.
