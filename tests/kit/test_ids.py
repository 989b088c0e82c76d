import subprocess
import sys
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.kit import ids

UUIDS = st.integers(min_value=0, max_value=2**128 - 1).map(lambda number: UUID(int=number))


class TestUuid7:
    def test_has_version_and_variant(self):
        value = ids.uuid7()
        assert value.version == 7
        assert value.variant == "specified in RFC 4122"

    def test_sorts_by_time(self, monkeypatch):
        start = 1_700_000_000_000_000_000
        moments = [start, start + 300, start + 999_999, start + 1_000_000, start + 10**12]
        clock = iter(moments)
        monkeypatch.setattr(ids.time, "time_ns", lambda: next(clock))
        made = [ids.uuid7() for _ in moments]
        assert made == sorted(made)

    def test_is_new_each_time(self):
        assert len({ids.uuid7() for _ in range(1000)}) == 1000

    def test_is_new_in_a_process_that_was_forked(self):
        program = (
            "import os; from config.kit import ids; ids.uuid7(); os.fork();"
            "os.write(1, b'%d\\n' % (ids.uuid7().int % (1 << 62))); os._exit(0)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert len(set(done.stdout.split())) == 2


class TestText:
    @given(UUIDS, st.sampled_from(sorted(ids.PREFIXES)))
    def test_reads_back_what_was_written(self, value, prefix):
        assert ids.decode(prefix, ids.encode(prefix, value)) == value

    @given(UUIDS, UUIDS)
    def test_text_sorts_like_the_value(self, one, other):
        assert (ids.encode("req", one) < ids.encode("req", other)) == (one < other)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "pw_",
            "pw",
            "key_01h455vb4pex5vsknk084sn02q",
            "pw_01h455vb4pex5vsknk084sn02",
            "pw_01h455vb4pex5vsknk084sn02qq",
            "pw_01h455vb4pex5vsknk084sn02i",
            "pw_z1h455vb4pex5vsknk084sn02q",
            "pw_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "pw-01h455vb4pex5vsknk084sn02q",
        ],
    )
    def test_refuses_anything_else(self, text):
        assert ids.decode("pw", text) is None

    def test_an_unknown_prefix_is_a_bug(self):
        with pytest.raises(AssertionError):
            ids.encode("nope", ids.uuid7())
