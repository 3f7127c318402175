"""What the shards of a catalogue ask each other. Not for callers of the API."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response

from service.api.dependencies import ServicesDep, needs
from service.retrieval.shards import Shards
from service.schemas.errors import NotOffered

router = APIRouter(dependencies=[needs("read")], include_in_schema=False)


async def get_shards(services: ServicesDep) -> Shards:
    """What this process knows of shards; NotOffered if it has the whole catalogue."""
    if services.shards is None:
        raise NotOffered("it has the whole catalogue; set MAGNET_SHARD and MAGNET_SHARDS")
    return services.shards


ShardsDep = Annotated[Shards, Depends(get_shards)]


@router.get("/v1/shard/{version}", status_code=204)
async def has_version(version: str, shards: ShardsDep) -> None:
    """Whether this shard can be asked about a model version; 404 if it cannot."""
    shards.part(version)


@router.post("/v1/shard/{version}/queries:bulk")
async def find(
    version: str, request: Request, services: ServicesDep, shards: ShardsDep
) -> Response:
    """The best of this shard's items for some queries, see `service.retrieval.shard_messages`."""
    work = shards.part(version).answer
    found = await to_thread.run_sync(work, await request.body(), limiter=services.limiter)
    return Response(found, media_type="application/octet-stream")
