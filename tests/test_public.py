"""The names that users see, and what importing them costs."""

import inspect
import subprocess
import sys

import polars as pl

import entense as et
from entense.namespace import Entense


def test_importing_entense_imports_nothing_heavy():
    script = "import sys, entense; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in out.stdout.split()}
    assert {"entense", "polars"} <= loaded
    assert not loaded & {
        "jax",
        "tensorflow",
        "torch",
        "webdataset",
        "scipy",
        "nibabel",
        "tqdm",
        "fsspec",
        "grain",
        "h5py",
        "zarr",
    }


def test_methods_and_public_functions_have_the_same_names():
    public = {name: value for name, value in vars(et).items() if name in et.__all__}
    functions = {name: value for name, value in public.items() if inspect.isfunction(value)}
    of_frames = {
        n for n, f in functions.items() if next(iter(inspect.signature(f).parameters)) == "frame"
    }
    methods = {name for name in vars(Entense) if not name.startswith("_")}
    assert methods == of_frames
    for name in methods:
        assert getattr(Entense, name).__doc__ == functions[name].__doc__
    frame = pl.DataFrame({"bold": ["/a"], "bold_sidecar": [None]})
    assert frame.entense.drop_incomplete().equals(frame.pipe(et.drop_incomplete))
    assert frame.lazy().entense.drop_incomplete().collect().equals(frame)
