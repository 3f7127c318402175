"""Every card, read alone, names what speaks for it, whatever items are called."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from magnet_client import Client
from model.artifact.files import Artifact, write_artifact
from model.artifact.manifest import TensorSpec
from model.artifact.tables import StringTable
from service.ops.settings import Settings
from tests.cards import Card, cards

USERS = 50

CALLED: dict[str, Callable[[int], dict[str, str]]] = {
    "sorted titles": lambda row: {"title": f"Cat and the Fiddle {row}, The ({1950 + row})"},
    "odd titles": lambda row: {"title": f"{row}: a.k.a. (What?) and *so* on \\1 {{A}}"},
    "ids alone": lambda row: {},
}


def called(artifact: Artifact, name_of: Callable[[int], dict[str, str]]) -> Artifact:
    """The same model of items that are called otherwise."""
    items = range(artifact.manifest.num_items)
    table = StringTable.of(json.dumps(name_of(row)) for row in items)
    arrays = {"item_metadata_blob": table.blob, "item_metadata_offsets": table.offsets}
    specs = {name: TensorSpec.of(array) for name, array in arrays.items()}
    manifest = artifact.manifest.model_copy(update={"tensors": artifact.manifest.tensors | specs})
    return replace(artifact, manifest=manifest, tensors=artifact.tensors | arrays)


@pytest.mark.parametrize("name_of", CALLED.values(), ids=CALLED)
def test_every_card_of_fifty_users_names_what_because_holds(
    make_artifact, tmp_path, serving, until, name_of
) -> None:
    artifact = called(make_artifact("v1", 2, num_items=200), name_of)
    write_artifact(tmp_path, artifact)
    with serving(Settings(artifact_dir=tmp_path)) as service:
        until(service.ready)
        with Client(str(service.base_url)) as client:
            found = cards(client, USERS)
    assert [card for card in found if card.kind is None] == []
    assert len({card.kind for card in found}) >= 3


@pytest.mark.parametrize(
    ("sentence", "names", "kind"),
    [
        ("Because you liked A and B", ["A and B", "C"], "Because you … A"),
        ("Because you liked A and B", ["A", "B", "C"], "Because you … A and B"),
        ("Because you liked B and A", ["A", "B"], None),
        ("Because you liked A", [], None),
        ("Because dominant_text says so", ["A"], None),
        ("New, and like A in looks and title", ["A"], "New, and like A in …"),
        ("New, and like A in knowledge", ["A"], None),
        ("New", ["A"], None),
        ("Close to your taste", ["A"], None),
        ("Close to your taste", [], "Close to your taste"),
        ("Popular right now", ["A"], "Popular right now"),
    ],
)
def test_a_card_that_does_not_read_well_is_found(sentence, names, kind) -> None:
    assert Card(sentence, names).kind == kind
