import pytest


@pytest.fixture
def no_executor(monkeypatch):
    """Let whatever computes or decodes raise, wherever it was imported."""
    import sys

    from entense.execute import decode, serial

    barred = (serial.run, decode.decode)

    def refuse(*_, **__):
        raise AssertionError("a lazy tensor was computed")

    for name, module in list(sys.modules.items()):
        if name.startswith("entense"):
            for attribute, value in list(vars(module).items()):
                if any(value is function for function in barred):
                    monkeypatch.setattr(module, attribute, refuse)
