"""The files of records that are written together: one in each series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from entense.archive.checksum import Data, block_rows
from entense.archive.formats import formats
from entense.archive.formats.base import Sample, Sink
from entense.archive.manifest import ShardFile
from entense.archive.schema import coords_digest, mask_digest, tr_of
from entense.archive.shard import Shard, make_folder, refusals
from entense.archive.store import sums_of
from entense.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from entense.archive.assign import Planned
    from entense.archive.formats.base import Framed, Scalar
    from entense.archive.formats.foreign import Shared
    from entense.archive.home import Home
    from entense.archive.manifest import Series
    from entense.ops.core import Spec


@dataclass
class _File:
    """A file being written."""

    path: str
    shard: Shard[Sink]
    number: int  # among the part's
    series: int
    records: int = 0
    sums: tuple[int, int] | None = None  # size and CRC-32C, once it is closed

    def close(self) -> tuple[int, int]:
        if self.sums is None:
            with refusals(self.shard.path.parent):
                self.sums = self.shard.sink.close() or sums_of(self.shard.temporary)
        return self.sums


class Part:
    """The files of one `Planned`: each begun when its first record comes."""

    def __init__(
        self, home: Home, planned: Planned, series: Sequence[Series], shared: Shared
    ) -> None:
        self._home, self._planned, self._series = home, planned, series
        self._shared = shared
        self._files: dict[str, _File] = {}

    def append(
        self,
        record: str,
        arrays: Mapping[str, NDArray[Any]],
        scalars: Mapping[str, Scalar],
        specs: Mapping[str, Spec],
    ) -> dict[str, dict[str, Any]]:
        """Add a record to each series; return where its tensors lie in the first format."""
        places: dict[str, dict[str, Any]] = {}
        for number, series in enumerate(self._series):
            held = {name: arrays[name] for name in series.tensors}
            file, framed = self._append(number, Sample(record, held, scalars, specs))
            if series.format == self._series[0].format:
                for name, array in held.items():
                    places[name] = _placement(file.number, framed, name, array, specs[name])
        return places

    def close(self) -> list[ShardFile]:
        """End the files; return what is known of each."""
        split, number = self._planned.split, self._planned.number
        return [
            ShardFile(file.path, *file.close(), split, file.records, file.series, number)
            for file in self._files.values()
        ]

    def finish(self) -> dict[str, str]:
        """Make the files last, under their names; return what a store says of them, by path."""
        said = in_threads(self._finish, list(self._files.values()), self._home.at_once)
        return {path: token for one in said for path, token in one.items()}

    def abandon(self) -> None:
        """Leave nothing behind but what was finished."""
        for file in self._files.values():
            file.shard.abandon()

    def _finish(self, file: _File) -> dict[str, str]:
        return self._home.finish(file.shard, file.path)

    def _append(self, number: int, sample: Sample) -> tuple[_File, Framed | None]:
        """Add a record to its files in a series; return the first of them, in which it counts."""
        series, framed = self._series[number], None
        fmt, paths = formats[series.format], self._planned.paths(series, sample.key, sample.specs)
        files = [self._file(number, path) for path in paths]
        for file, content in zip(files, fmt.parted(sample), strict=True):
            with refusals(file.shard.path.parent):
                framed = file.shard.sink.append(content)
            if fmt.single:
                file.close()  # lest thousands are open
        files[0].records += 1
        return files[0], framed

    def _file(self, series: int, path: str) -> _File:
        if path not in self._files:
            making = self._home.making
            make_folder(making, str(PurePosixPath(path).parent))
            begin = formats[self._series[series].format].begin
            shard = Shard[Sink](making / path, lambda name: begin(name, self._shared))
            self._files[path] = _File(path, shard, len(self._files), series)
        return self._files[path]


def _placement(
    shard: int, framed: Framed | None, name: str, array: NDArray[Any], spec: Spec
) -> dict[str, Any]:
    data = framed.data[name] if framed else Data(array)
    return {
        "shard": shard,
        "offset": framed.offsets[name] if framed else None,
        "size": len(data),
        "shape": spec.shape,
        "frames_per_block": block_rows(spec.shape, len(data)),
        "crc32c": data.blocks.tobytes().hex(),
        "mask": mask_digest(spec),
        "coords": coords_digest(spec.coords),
        "tr": tr_of(spec),
    }
