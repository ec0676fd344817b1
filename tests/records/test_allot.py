from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from entense.records.splitting.allot import allot

strata = st.lists(
    st.tuples(st.integers(0, 7), st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"))),
    min_size=1,
    max_size=30,
)
weights = st.lists(st.integers(1, 12), min_size=1, max_size=6)
ALIKE = ("a", "x")


@given(strata, weights)
@example([(5, ("b", "x")), (1, ALIKE)], [2, 1, 1])  # what is carried over is not enough here
@example([(1, ALIKE)] * 30, [8, 1, 1])
def test_every_cell_and_every_sum_is_less_than_one_from_its_due(rows, parts):
    sizes, kinds = zip(*rows, strict=True)
    shares = [Fraction(part, sum(parts)) for part in parts]
    counts = allot(sizes, shares, kinds)
    assert counts.sum(axis=1).tolist() == list(sizes)
    for row, size in zip(counts.tolist(), sizes, strict=True):
        assert all(abs(n - size * share) < 1 for n, share in zip(row, shares, strict=True))
    for total, share in zip(counts.sum(axis=0).tolist(), shares, strict=True):
        assert abs(total - sum(sizes) * share) < 1


def test_one_stratum_goes_by_the_largest_remainder_and_then_by_the_first():
    assert allot([7], [Fraction(1, 2), Fraction(3, 10), Fraction(1, 5)], [()]).tolist() == [
        [4, 2, 1]
    ]
    assert allot([1], [Fraction(1, 2), Fraction(1, 2)], [()]).tolist() == [[1, 0]]


def test_roundings_do_not_add_up_over_many_small_strata():
    # each by itself would give its one group to the first split: 1000, 0, 0
    counts = allot(
        [1] * 1000,
        [Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)],
        [(str(n),) for n in range(1000)],
    )
    assert counts.sum(axis=0).tolist() == [800, 100, 100]


def test_shares_of_large_denominators_stay_exact():
    share = Fraction(10**9 - 1, 10**9)
    big = allot([10**9] * 3, [share, 1 - share], [()] * 3)
    np.testing.assert_array_equal(big, [[10**9 - 1, 1]] * 3)


def test_what_is_alike_in_one_of_the_columns_is_shared_out_evenly_too():
    # 60 strata of one group each: 40 sites in 3 quantiles, say
    kinds = [(str(n % 20), str(n % 3)) for n in range(60)]
    counts = allot([1] * 60, [Fraction(2, 3), Fraction(1, 3)], kinds)
    for column, n in [(0, 3), (1, 20)]:
        for value in {kind[column] for kind in kinds}:
            rows = [row for row, kind in enumerate(kinds) if kind[column] == value]
            assert abs(counts[rows].sum(axis=0)[1] - n / 3) < 2
