import pytest

from model.artifact.files import ArtifactError
from model.artifact.tables import StringTable
from service.serving.catalogue import Catalogue


def with_metadata(artifact, *texts: str):
    table = StringTable.of([*texts, *["{}"] * (80 - len(texts))])
    metadata = {"item_metadata_blob": table.blob, "item_metadata_offsets": table.offsets}
    return {**artifact.tensors, **metadata}


def test_ids_are_resolved_once_each_where_it_is_named_last(artifact) -> None:
    rows, missing = Catalogue.of(artifact.tensors).rows(["i009", "x", "i002", "i009", "x", "y"])
    assert rows.tolist() == [2, 9]
    assert missing == ["x", "y"]


def test_items_are_found_by_any_of_their_categories(artifact) -> None:
    texts = ['{"categories": ["a", "b"]}', '{"categories": ["b"]}', '{"title": "none"}']
    items = Catalogue.of(with_metadata(artifact, *texts))
    assert items.rows_in_any(["a", "b"]).tolist() == [0, 1]
    assert items.rows_in_any(["a"]).tolist() == [0]
    assert items.rows_in_any(["c"]).tolist() == []


@pytest.mark.parametrize("text", ["", "no json", "[1]", '"text"'])
def test_metadata_that_is_no_object_is_refused_by_row(artifact, text: str) -> None:
    with pytest.raises(ArtifactError, match="metadata of item row 1 is not a JSON object"):
        Catalogue.of(with_metadata(artifact, "{}", text))
