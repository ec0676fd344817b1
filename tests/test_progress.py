"""What a run says of itself where nobody watches."""

from entense import progress


def test_a_log_has_a_line_a_minute(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    with progress.Counter("write", "records", total=1_200, done=200) as bar:
        bar.add(100, 2 * 10**9, 1)
        bar.tell()
        now[0] = 61
        bar.tell()
        bar.tell()
    assert capsys.readouterr().err == "write: 300 of 1,200 records, 2.0 GB, 1 failed\n"
