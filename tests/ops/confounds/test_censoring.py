"""Which frames are kept: against nilearn's own function and a frame at a time."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nilearn.interfaces.fmriprep.load_confounds_components import _load_scrub

from entense.errors import RecipeError, RecordError
from entense.ops.confounds import Censoring, Regressors, check_censoring, kept, merged

motions = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 0.6]), st.sampled_from([1.0, 1.5, 1.6, 1.7])),
    min_size=1,
    max_size=40,
)


class Table(Regressors):
    """A table that no file holds."""

    @property
    def frame(self):
        return self.made


def table_of(motions, dummies=0):
    frames = len(motions)
    made = pl.DataFrame(motions, ["framewise_displacement", "std_dvars"], orient="row")
    made = made.with_columns(pl.when(pl.int_range(frames) > 0).then(pl.all()))
    spikes = {f"non_steady_state_outlier{i:02}": np.eye(1, frames, i)[0] for i in range(dummies)}
    table = Table("made.tsv")
    object.__setattr__(table, "made", made.with_columns(**spikes))
    return table


@given(motions, st.integers(0, 9), st.sampled_from([0.4, 0.5, 0.7]), st.sampled_from([1.2, 1.6]))
def test_scrubbing_is_nilearns(motions, contiguous, fd, dvars):
    table = table_of(motions)
    spikes = _load_scrub(table.frame.to_pandas(), contiguous, fd, dvars).to_numpy()
    due = spikes.sum(axis=1) == 0
    found = kept(table, Censoring(fd=fd, dvars=dvars, contiguous=contiguous))
    np.testing.assert_array_equal(found, due)


@given(motions, st.integers(0, 4), st.integers(0, 4), st.integers(0, 3))
def test_frames_around_go_too(motions, before, after, dummies):
    table = table_of(motions, min(dummies, len(motions)))
    found = kept(table, Censoring(fd=0.5, before=before, after=after, dummies=True))
    fd = [0.0, *(one for one, _ in motions[1:])]  # the first is missing, and kept
    for frame, stays in enumerate(found):
        around = range(max(frame - after, 0), min(frame + before + 1, len(fd)))
        assert stays == (frame >= dummies and not any(fd[i] > 0.5 for i in around))


def test_examples():
    fd = [(0.0, 1.0)] * 12
    fd[5] = (0.9, 1.0)
    table = table_of(fd, dummies=2)
    gone = lambda **rule: np.flatnonzero(~kept(table, Censoring(**rule))).tolist()  # noqa: E731
    assert gone() == []
    assert gone(fd=0.9) == []  # above, not at
    assert gone(fd=0.5) == [5]
    assert gone(fd=0.5, before=1, after=2) == [4, 5, 6, 7]  # Power's
    assert gone(fd=0.5, before=99, after=99) == list(range(12))
    assert gone(dummies=True) == [0, 1]
    assert gone(fd=0.5, contiguous=6) == [0, 1, 2, 3, 4, 5]
    assert gone(fd=0.5, contiguous=7) == list(range(12))  # every frame: the caller's to say
    assert gone(fd=0.5, contiguous=5, dummies=True) == [0, 1, 5]  # dummies shorten no stretch
    assert gone(contiguous=99) == []  # where nothing moved nothing is short
    assert kept(table, Censoring()).dtype == bool


def test_a_table_without_dummies_loses_none():
    assert kept(table_of([(0.0, 1.0)] * 3), Censoring(dummies=True)).all()


def test_what_is_lacking_is_named(put, hcp):
    bare = put({"csf": [1.0, 2.0]})
    for rule, name in (({"fd": 0.5}, "framewise_displacement"), ({"dvars": 1.5}, "std_dvars")):
        with pytest.raises(RecordError, match=f"no column '{name}'") as error:
            kept(bare, Censoring(**rule))
        assert bare.path in str(error.value)
    assert kept(hcp, Censoring(fd=1e9)).all()
    with pytest.raises(RecordError, match="no column 'std_dvars'; HCP's"):
        kept(hcp, Censoring(dvars=1.5))


def test_a_gap_after_the_first_row_is_an_error(put):
    table = put({"framewise_displacement": [None, 0.1, None, 0.2]})
    with pytest.raises(RecordError, match="'framewise_displacement' has no finite number in row 3"):
        kept(table, Censoring(fd=0.5))


def test_what_is_given_comes_before_what_a_strategy_says():
    rule = Censoring(fd=0.5, dvars=1.5, contiguous=5, dummies=True)
    assert merged(rule, Censoring()) == rule
    assert merged(Censoring(), rule) == rule
    assert merged(rule, Censoring(fd=0.2, after=2)) == rule._replace(fd=0.2, after=2)


WRONG = {
    "fd": [0.0, -1.0, float("nan"), float("inf")],
    "dvars": [0.0],
    "before": [-1],
    "after": [-1],
    "contiguous": [-2],
}


@pytest.mark.parametrize(("name", "value"), [(k, v) for k, values in WRONG.items() for v in values])
def test_a_rule_that_makes_no_sense(name, value):
    with pytest.raises(RecipeError, match=f"{name}={value}"):
        check_censoring(Censoring(**{name: value}))


def test_rules_that_make_sense():
    for rule in (Censoring(), Censoring(0.5, 1.5, 1, 2, 5, dummies=True)):
        check_censoring(rule)
