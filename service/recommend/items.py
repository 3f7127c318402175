"""Items that are put while a model is served: what a call says, checked against the live model."""

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from model.registry.items import METADATA, ItemRecord
from model.runtime.top_k import Rows
from service.http.json_bodies import repeated_name
from service.http.pages import PictureFolder
from service.http.problems import MAX_FAULTS
from service.ops.process import with_pauses
from service.recommend.resolution import item_row
from service.recommend.search import described
from service.schemas.errors import FieldFault, InvalidRequest
from service.schemas.requests import MAX_LINES, ItemLine, ItemPatch, ItemRequest
from service.schemas.responses import EncodedBy, ItemDetail
from service.serving.growth import GrowingModel
from service.serving.snapshot import Snapshot
from service.store.items import ItemPut

Features = Mapping[str, Sequence[float]]
_LARGEST = float(np.finfo(np.float32).max)


def item_detail(
    snapshot: Snapshot, item_id: str, hidden_rows: Rows, pictures: PictureFolder
) -> ItemDetail:
    """One item as people see it, and what the model knows it by; UnknownItem. Blocking."""
    items, row = snapshot.items, item_row(snapshot, item_id)
    fields = orjson.loads(items.metadata.raw(row))
    (shown,) = described(items, np.array([row]), hidden_rows, pictures)
    place = row - items.num_base
    return ItemDetail(
        **shown,
        description=fields.get("description"),
        attributes=fields.get("attributes", {}),
        encoded_by="model" if place < 0 else items.by[place],
    )


def item_put(growing: GrowingModel, item_id: str, request: ItemRequest) -> ItemPut:
    """The record that takes the place of whatever was known of an item; InvalidRequest."""
    faults = list(_faults(growing, request.features, "body."))
    if faults:
        raise _refused(faults)
    return ItemPut(record=_record(item_id, request), available=request.available)


def item_patched(
    growing: GrowingModel, before: ItemRecord | None, item_id: str, patch: ItemPatch
) -> ItemPut:
    """The record after a change; InvalidRequest.

    Args:
        growing: the live model, which may have the item without a record.
        before: the record so far.
        item_id: whose.
        patch: what is to change.
    """
    faults = list(_faults(growing, patch.features or {}, "body."))
    if faults:
        raise _refused(faults)
    fields = patch.model_dump(exclude_unset=True, exclude={"available"})
    if "attributes" in fields:
        own = dict(before.attributes) if before is not None else _attributes(growing, item_id)
        own |= fields["attributes"] or {}
        kept = {name: value for name, value in own.items() if value is not None}
        fields["attributes"] = kept if fields["attributes"] is not None else {}
    for name in ("categories", "features"):
        if name in fields and fields[name] is None:
            fields[name] = [] if name == "categories" else {}
    known = {} if before is None else before.model_dump(exclude_unset=True)
    record = {**known, **fields, "item_id": item_id, "updated_at": datetime.now(UTC)}
    try:
        return ItemPut(record=ItemRecord.model_validate(record), available=patch.available)
    except ValidationError as error:  # the whole may be too much where the change is not
        raise _refused(_fault("body", fault) for fault in error.errors()[:MAX_FAULTS]) from error


def deleted(item_id: str) -> ItemPut:
    """The record of an item that nobody may be shown any more."""
    record = ItemRecord(item_id=item_id, retired=True, updated_at=datetime.now(UTC))
    return ItemPut(record=record, available=False)


class BulkPut:
    """The lines of one call: all of them are right, or it is refused."""

    def __init__(self, growing: GrowingModel, body: bytes) -> None:
        """Read JSON lines; InvalidRequest, which names the faults by line. Blocking."""
        self.arguments: list[str] = []
        """As `ItemStore.put` takes them."""
        self.items = 0
        by: Counter[str] = Counter()
        faults: list[FieldFault] = []
        line_of: dict[str, int] = {}
        for number, line in with_pauses(_lines(body)):
            item, of_line = _read_line(growing, number, line, line_of)
            faults += of_line
            if len(faults) >= MAX_FAULTS:
                break
            if item is not None and not faults:
                record = _record(item.item_id, item)
                by[encoded_by(growing, record)] += 1
                self.arguments += ItemPut(record=record, available=item.available).arguments()
                self.items += 1
        if faults:
            raise _refused(faults[:MAX_FAULTS])
        if not self.items:
            raise InvalidRequest("body: it has no line; send one item as JSON on each")
        self.encoded_by: dict[str, int] = {**by}


def encoded_by(growing: GrowingModel, record: ItemRecord) -> EncodedBy:
    """What the live model knows an item by."""
    if growing.base.items.ids.row(record.item_id) is not None:
        return "model"
    return growing.encoder.encoded_by(record)


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, by number; a byte order mark is none of the first."""
    body = body.removeprefix(BOM_UTF8)
    count = body.count(b"\n") + (not body.endswith(b"\n"))
    if count > MAX_LINES:
        raise InvalidRequest(f"body: {count} lines are too many, the most is {MAX_LINES}")
    # One after the other: all at once takes 10 ms of Python's lock.
    return ((number, line) for number, line in enumerate(BytesIO(body), 1) if line.strip())


def _read_line(
    growing: GrowingModel, number: int, line: bytes, line_of: dict[str, int]
) -> tuple[ItemLine | None, list[FieldFault]]:
    """An item and what is wrong with it; notes its line."""
    place = f"line {number}"
    try:
        item = ItemLine.model_validate_json(line)
    except ValidationError as error:
        return None, [_fault(place, fault) for fault in error.errors(include_url=False)]
    names = len(item.model_fields_set) + len(item.attributes) + len(item.features)
    if (repeated := repeated_name(line, names)) is not None:
        return None, [FieldFault(field=place, message=repeated)]
    if item.item_id in line_of:
        said = f"item {item.item_id!r} is on line {line_of[item.item_id]} already"
        return None, [FieldFault(field=f"{place}.item_id", message=said)]
    line_of[item.item_id] = number
    return item, list(_faults(growing, item.features, f"{place}."))


def _fault(place: str, fault: Mapping[str, Any]) -> FieldFault:
    path = ".".join([place, *map(str, fault["loc"])])
    return FieldFault(field=path, message=fault["msg"].removeprefix("Value error, "))


def _refused(faults: Iterable[FieldFault]) -> InvalidRequest:
    listed = tuple(faults)
    return InvalidRequest("; ".join(f"{each.field}: {each.message}" for each in listed), listed)


def _record(item_id: str, request: ItemRequest) -> ItemRecord:
    """All fields are given, so that what an artifact says of them does not count."""
    fields = {name: getattr(request, name) for name in METADATA}
    if request.features:
        fields["features"] = request.features
    now = datetime.now(UTC)
    return ItemRecord.model_construct(
        {*fields, "item_id", "updated_at"}, **fields, item_id=item_id, updated_at=now
    )


def _faults(growing: GrowingModel, features: Features, place: str) -> Iterator[FieldFault]:
    """What is wrong with some features, by what the live model takes."""
    contents = growing.base.manifest.modalities[1:]
    widths = growing.encoder.widths
    for name, vector in features.items():
        field = f"{place}features.{name}"
        if name not in contents:
            known = ", ".join(contents) or "none"
            said = f"the model has no such content modality; it has {known}"
            yield FieldFault(field=field, message=said)
        elif name in widths and len(vector) != widths[name]:
            said = f"{len(vector)} numbers, wanted are {widths[name]}"
            yield FieldFault(field=field, message=said)
        elif not np.abs(vector).max() <= _LARGEST:
            yield FieldFault(field=field, message="a number is too large, or not finite")


def _attributes(growing: GrowingModel, item_id: str) -> dict[str, Any]:
    """Those that the artifact says."""
    row = growing.base.items.ids.row(item_id)
    if row is None:
        return {}
    attributes: dict[str, Any] = orjson.loads(growing.base.items.metadata.raw(row)).get(
        "attributes", {}
    )
    return dict(attributes)
