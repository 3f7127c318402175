"""`python -m deploy.benchmarks.serving`: measure parts, print tables, write `bench.json`."""

import sys
from pathlib import Path

from deploy.benchmarks.parts import Benchmark, Part
from deploy.benchmarks.serving import (
    batching_part,
    bulk_part,
    disruption_part,
    engine_part,
    half_part,
    hiding_part,
    http_part,
    import_part,
    items_part,
    live_part,
    reasons_part,
    shards_part,
    size_part,
    start_part,
    workers_part,
)

BENCHMARK = Benchmark(
    module="deploy.benchmarks.serving",
    summary="Measure the service beside its peers and floors, in one run.",
    parts=(
        Part(
            "engine",
            "top 20 routed and explained at four sizes of catalogue, against the floor",
            engine_part.measure,
        ),
        Part(
            "batching",
            "requests per second of one thread with and without sharing the pass over the items",
            batching_part.measure,
        ),
        Part(
            "bulk",
            "every user's list by `magnet recommend --all`, against the bare matrix products",
            bulk_part.measure,
        ),
        Part(
            "http",
            "requests per second over HTTP, beside implicit, Cornac and an empty route",
            http_part.measure,
        ),
        Part(
            "live",
            "processor time of a request with live events, and from a click to the list",
            live_part.measure,
        ),
        Part(
            "hiding",
            "lists right after a change with a million hidden items, and what that stalls",
            hiding_part.measure,
        ),
        Part(
            "items",
            "latency of lists while 100,000 items are put, and from a put item to the list",
            items_part.measure,
        ),
        Part(
            "reload",
            "models published and swapped under load: errors, torn answers, latency",
            disruption_part.measure_reload,
        ),
        Part(
            "redis",
            "Redis killed and restarted under load: errors, and time until answers are whole",
            disruption_part.measure_outage,
        ),
        Part(
            "soak",
            "half a million requests and 20 reloads: growth of memory",
            disruption_part.measure_soak,
        ),
        Part("memory", "memory of a second worker of one machine", size_part.measure_memory),
        Part(
            "bytes",
            "memory of the server over the bytes that were published",
            size_part.measure_bytes,
        ),
        Part(
            "workers",
            "answers and processor time of one, two and four processes",
            workers_part.measure,
        ),
        Part(
            "half",
            "items' vectors in 16 bits, beside the same model's in 32",
            half_part.measure,
        ),
        Part(
            "shards",
            "lists and latency of two shards of a catalogue, beside one replica of all of it",
            shards_part.measure,
        ),
        Part("start", "from the start of a process until it is ready", start_part.measure),
        Part("reasons", "what naming items of the history adds to a list", reasons_part.measure),
        Part("import", "own data, beside reading alone", import_part.measure),
    ),
    results=Path("bench.json"),
    section="bench",
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
