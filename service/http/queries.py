"""The names in a query: one that the call does not have, or has twice, is refused."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import get_origin

from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.datastructures import QueryParams

from service.http.problems import MAX_FAULTS
from service.schemas.errors import FieldFault, InvalidRequest

Parameters = Mapping[str, FieldInfo]
"""Query parameters by name."""


def parameters_of(route: APIRoute) -> Parameters:
    """Those that a route has."""
    found: dict[str, FieldInfo] = {}
    for field in route.dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= kind.model_fields
        else:
            found[field.alias] = field.field_info
    return found


def check_names(query: bytes, parameters: Parameters) -> None:
    """InvalidRequest for a name that is none of the parameters, or one value too many."""
    if query:
        faults = tuple(islice(_faults(query, parameters), MAX_FAULTS))
        if faults:
            raise InvalidRequest("; ".join(f"{x.field}: {x.message}" for x in faults), faults)


def _faults(query: bytes, parameters: Parameters) -> Iterator[FieldFault]:
    known = f"it has {', '.join(parameters)}" if parameters else "it has none"
    for name, times in Counter(name for name, _ in QueryParams(query).multi_items()).items():
        message = None
        if name not in parameters:
            message = f"this call has no such query parameter; {known}"
        elif times > 1 and get_origin(parameters[name].annotation) is not list:
            message = f"it is there {times} times; give it once"
        if message is not None:
            yield FieldFault(field=f"query.{name}", message=message)
