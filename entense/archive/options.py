"""What `write` was asked, kept with the archive so that `repair` can ask it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Options:
    """What `write` was asked, all that can change a byte; `repair` asks it again."""

    format: str | Sequence[str]
    columns: Sequence[str]
    shard_size: str | float | None
    shard_records: int | None
    shard_by: str | Sequence[str] | None
    shuffle: int | None
    sharding: str
    disaggregate: str | None
    dtype: Mapping[str, str] | None
    index: Sequence[str]
    on_error: str
    without: Sequence[str]
    fusion: str
    hash_inputs: bool = False

    def plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        texts = str | int | float | None
        return {
            name: value if isinstance(value, texts) else _plain(value)
            for name, value in vars(self).items()
        }


def _plain(value: Mapping[str, str] | Sequence[str]) -> dict[str, str] | list[str]:
    return dict(value) if isinstance(value, Mapping) else list(value)
