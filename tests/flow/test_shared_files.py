"""Rows of one file that follow each other: it is read once."""

import numpy as np
import polars as pl
import pytest

import entense as et

BOLD = et.volume("bold", mask="mask")


def trials(study):
    for subject in ("01", "02", "03"):
        study.run(subject, frames=60)
    onsets = pl.DataFrame({"trial": range(5), "onset": [0.0, 4.0, 10.0, 4.0, 60.0]})
    table = study.records.join(onsets, how="cross").sort("subject", "trial")
    clean = BOLD.denoise("confounds", "6P").zscore()
    return table.entense.transform(raw=BOLD, part=clean.window("onset", seconds=12))


def test_a_run_of_many_trials_is_decoded_once(study, decodes):
    table = trials(study)
    df = table.entense.collect()
    assert sorted(decodes) == [row["bold"] for row in study.rows]
    alone = [table[i].entense.collect() for i in range(table.height)]
    for name in ("raw", "part"):
        due = np.concatenate([et.to_numpy(one[name]) for one in alone])
        np.testing.assert_array_equal(et.to_numpy(df[name]), due)


def test_rows_that_do_not_follow_each_other_are_read_again(study, decodes):
    table = trials(study).sort("trial", "subject")
    table.entense.collect()
    assert len(decodes) == table.height


def test_a_trial_that_fails_leaves_the_others(study, decodes):
    table = trials(study).with_columns(onset=pl.when(trial=2).then(900.0).otherwise("onset"))
    clean = BOLD.zscore().window("onset", seconds=12)
    table = table.drop("raw", "part").entense.transform(part=clean)
    with pytest.raises(et.RecordError, match="3 of 15 records"):
        table.entense.collect()
    assert len(decodes) == 6  # the failed one parts the trials of its run
    assert len(list(et.collect(table.filter(pl.col("trial") != 2), streaming=True))) == 1
