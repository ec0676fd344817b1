"""Records for the formats that a library writes, and the way through one."""

from dataclasses import replace

import hypothesis.extra.numpy as hnp
import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from entense.archive.formats import Sample
from entense.archive.formats.foreign import Shared
from entense.archive.schema import DTYPES
from entense.ops.core import Spec

NAMES = st.text(min_size=1, max_size=12).filter(
    lambda name: name.strip(".") and not name.startswith("__") and not set(name) & set("/\\\0")
)
TEXTS = st.text().filter(lambda text: "\0" not in text)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS | st.floats()


def arrays(dtypes=DTYPES, least=0):
    """Arrays of up to 5 dimensions, some of them empty, of any bits."""
    shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=least, max_side=4)
    return st.builds(any_bits, st.sampled_from(sorted(dtypes)), shapes, st.integers(0, 2**32 - 1))


def any_bits(dtype, shape, seed):
    """An array of any numbers of a dtype, NaNs of every kind and -0.0 among them."""
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    count = int(np.prod(shape)) * kind.itemsize
    bits = np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 256, count, np.uint8)
    return bits.view(kind).reshape(shape)


def samples(dtypes=DTYPES, names=NAMES, scalars=SCALARS):
    """Record id to its tensors and its columns: all records have the same."""
    keys = st.lists(names, min_size=1, max_size=3, unique=True)
    tensors = st.dictionaries(names, arrays(dtypes), min_size=1, max_size=3)
    columns = st.dictionaries(names, scalars, max_size=3)
    return st.tuples(keys, tensors, columns).map(
        lambda drawn: dict.fromkeys(drawn[0], (drawn[1], drawn[2]))
    )


def spec_of(array, **known):
    dims = ("time", *(f"d{i}" for i in range(1, array.ndim)))[: array.ndim]
    return replace(Spec(dims, array.shape, array.dtype.name), **known)


def write(fmt, path, records, **known):
    """Write records as the archive does: checked, sized, then one after the other."""
    specs = {
        key: {name: spec_of(array, **known) for name, array in tensors.items()}
        for key, (tensors, _) in records.items()
    }
    shapes = {
        name: {spec[name].shape for spec in specs.values()} for name in next(iter(specs.values()))
    }
    sizes = 0
    for key, (tensors, scalars) in records.items():
        for name in tensors:
            fmt.check(name, specs[key][name])
        sizes += fmt.size(Sample(key, tensors, scalars, specs[key]))
    ragged = frozenset(name for name, different in shapes.items() if len(different) > 1)
    kinds = {
        name: type(value)
        for _, scalars in records.values()
        for name, value in scalars.items()
        if value is not None
    }
    columns = {name: kinds.get(name, str) for name in next(iter(records.values()))[1]}
    sink = fmt.begin(path, Shared(ragged, columns))
    for key, (tensors, scalars) in records.items():
        sink.append(Sample(key, tensors, scalars, specs[key]))
    sink.close()
    return sizes


def same_bytes(one, other):
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


def check_reads_back(fmt, path, records):
    """Compare whole tensors, and each window of rows, with what was written."""
    for key, (tensors, _) in records.items():
        for name, array in tensors.items():
            rows = len(array) if array.ndim else 1
            same_bytes(fmt.read(path, key, name, 0, rows), array)
            for start in range(rows if array.ndim else 0):
                same_bytes(fmt.read(path, key, name, start, rows), array[start:])
                same_bytes(fmt.read(path, key, name, start, start + 1), array[start : start + 1])
