"""The entities and datatypes are those of the BIDS schema, as bids2table's package brings it."""

import pytest
from bidsschematools.schema import load_schema

from entense.index.entities import DATATYPES, ENTITIES, FILE_SCHEMA

SCHEMA = load_schema()
OURS = {"description": "desc", "hemisphere": "hemi", "split": "chunk_split", "volume": "voi"}


@pytest.mark.parametrize("entity", SCHEMA.objects.entities)
def test_each_entity_of_bids_is_a_column_with_its_prefix(entity):
    assert ENTITIES[OURS.get(entity, entity)] == SCHEMA.objects.entities[entity]["name"]


def test_what_the_schema_lacks_is_what_derivatives_use():
    known = {OURS.get(entity, entity) for entity in SCHEMA.objects.entities}
    assert set(ENTITIES) - known == {"from", "to", "mode"}


def test_no_two_entities_share_a_prefix_nor_a_column():
    assert len(set(ENTITIES.values())) == len(ENTITIES)
    assert len(FILE_SCHEMA) == len(ENTITIES) + 7


def test_the_datatypes():
    assert set(DATATYPES) == {
        SCHEMA.objects.datatypes[d]["value"] for d in SCHEMA.objects.datatypes
    }
