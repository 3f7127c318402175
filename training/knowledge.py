"""Facts about items from a knowledge graph: RecBole's `.kg` triples, tied to items by `.link`.

Knows triples; knows nothing about weighting or vectors.
"""

from collections.abc import Sequence
from pathlib import Path

from training.interactions import ITEM_COLUMNS
from training.tables import DataError, Table

HEAD_COLUMNS = ("head_id", "head")
RELATION_COLUMNS = ("relation_id", "relation")
TAIL_COLUMNS = ("tail_id", "tail")
ENTITY_COLUMNS = ("entity_id", "entity")


def read_facts(folder: Path, item_ids: Sequence[str]) -> list[list[str]] | None:
    """One list per item of `relation>entity` (item first) and `entity>relation` (item last).

    None if the folder holds no graph; DataError if it holds only one of the two files, several
    of a kind, or a faulty one.
    """
    graphs, links = sorted(folder.glob("*.kg")), sorted(folder.glob("*.link"))
    if not graphs and not links:
        return None
    if len(graphs) != 1 or len(links) != 1:
        names = ", ".join(path.name for path in [*graphs, *links])
        raise DataError(
            folder,
            f"expected one .kg and one .link file for the knowledge modality, found {names}",
            "add what is missing or remove the rest",
        )
    items_of = _items_of_entity(Table.read(links[0]), item_ids)
    facts: list[list[str]] = [[] for _ in item_ids]
    table = Table.read(graphs[0])
    triples = zip(
        table.ids(table.require(HEAD_COLUMNS, "head entity")).to_list(),
        table.ids(table.require(RELATION_COLUMNS, "relation")).to_list(),
        table.ids(table.require(TAIL_COLUMNS, "tail entity")).to_list(),
        strict=True,
    )
    for head, relation, tail in triples:
        for row in items_of.get(head, ()):
            facts[row].append(f"{relation}>{tail}")
        for row in items_of.get(tail, ()):
            facts[row].append(f"{head}>{relation}")
    return facts


def _items_of_entity(table: Table, item_ids: Sequence[str]) -> dict[str, list[int]]:
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    items = table.ids(table.require(ITEM_COLUMNS, "item id")).to_list()
    entities = table.ids(table.require(ENTITY_COLUMNS, "entity id")).to_list()
    rows: dict[str, list[int]] = {}
    for item, entity in zip(items, entities, strict=True):
        if item in row_of:
            rows.setdefault(entity, []).append(row_of[item])
    return rows
