"""What catalogues read of an archive: Croissant for machine learning, BIDS for neuroimaging."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import polars as pl

from entense.archive import manifest as names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CROISSANT, BIDS = "croissant.json", "dataset_description.json"
BIDS_VERSION = "1.10.0"
MEDIA = {".tar": "application/x-tar", ".parquet": "application/x-parquet"}
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty"),
            *("fileObject", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key"),
            *("md5", "parentField", "path", "recordSet", "references", "regex", "repeated"),
            *("replace", "samplingRate", "separator", "source", "subField", "transform"),
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
"""The context of Croissant 1.0, which every file has to repeat."""


def describe(body: Mapping[str, Any], table: pl.DataFrame, records: bytes) -> dict[str, bytes]:
    """Return the files that describe an archive, by name.

    Parameters
    ----------
    body
        Its manifest.
    table, records
        Its records.parquet, and the bytes of that.
    """
    name = _name(table)
    croissant = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": _description(body),
        "distribution": [_records_file(records), *_shard_files(body["shards"])],
        "recordSet": [_record_set(table)],
    }
    return {CROISSANT: as_json(croissant), BIDS: as_json(_bids(name))}


def _name(table: pl.DataFrame) -> str:
    known = table["dataset"].drop_nulls().unique().sort().to_list() if "dataset" in table else []
    return f"entense archive of {', '.join(known)}" if known else "entense archive"


def _description(body: Mapping[str, Any]) -> str:
    """Say what the shards hold, which Croissant has no words for."""
    tensors = (
        f"{name} ({', '.join(tensor['dims'])}; {tensor['dtype']})"
        for name, tensor in body["tensors"].items()
    )
    splits = (f"{count} {name}" for name, count in body["splits"].items())
    formats = dict.fromkeys(series["format"] for series in body["series"])
    return (
        f"Tensors computed from brain images, in {' and '.join(formats)} shards: "
        f"{', '.join(tensors)}. "
        f"Records: {', '.join(splits)}; {names.RECORDS} has a row for each."
    )


def _records_file(content: bytes) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": names.RECORDS,
        "name": names.RECORDS,
        "contentUrl": names.RECORDS,
        "contentSize": f"{len(content)} B",
        "encodingFormat": MEDIA[".parquet"],
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _shard_files(shards: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the shards as sets: one by one they would need hashes that only we could check."""
    paths = (PurePosixPath(shard["path"]) for shard in shards)
    kinds = dict.fromkeys((str(path.parent), path.suffix) for path in paths)
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"{folder}/*{suffix}",
            "name": f"{folder}/*{suffix}",
            "includes": f"{folder}/*{suffix}",
            "encodingFormat": MEDIA.get(suffix, "application/octet-stream"),
        }
        for folder, suffix in kinds
    ]


def _record_set(table: pl.DataFrame) -> dict[str, Any]:
    kinds = {name: _kind(dtype) for name, dtype in table.schema.items()}
    fields = [_field(name, kind) for name, kind in kinds.items() if kind]
    return {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "key": {"@id": "records/record"},
        "field": fields,
    }


def _field(name: str, kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"records/{quote(name, safe='')}",
        "name": name,
        "dataType": kind,
        "source": {"fileObject": {"@id": names.RECORDS}, "extract": {"column": name}},
    }


def _kind(dtype: pl.DataType) -> str | None:
    """Return what Croissant calls a dtype; None of what it has no word for."""
    if dtype.is_integer():
        return "sc:Integer"
    if dtype.is_float():
        return "sc:Float"
    return {pl.String: "sc:Text", pl.Boolean: "sc:Boolean"}.get(type(dtype))


def _bids(name: str) -> dict[str, Any]:
    from entense import __version__

    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "entense", "Version": __version__}],
    }


def as_json(content: Mapping[str, Any]) -> bytes:
    """Return the JSON text of a file that others read."""
    return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"
