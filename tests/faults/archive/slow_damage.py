"""More than 2,000 damages to shards, each found by `verify` and by the readers it concerns.

Run by `make faults`; pytest does not collect it by itself.
"""

import damages
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

CASES = 1100  # of each format


@pytest.fixture(scope="module", params=["webdataset", "tfrecord"])
def shards(request, tmp_path_factory):
    return damages.prepared(tmp_path_factory.mktemp(request.param), request.param)


def test_every_damage_is_found(shards):
    seen = []

    @settings(max_examples=CASES, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def spoil(data):
        shard, content = data.draw(damages.damages(shards))
        assume(content != shard.whole)
        damages.check(shard, content)
        seen.append(content)

    spoil()
    assert len(seen) >= CASES
    assert len(set(seen)) > CASES // 2
