"""`python -m deploy.benchmarks.scaling`: measure parts, print tables, write `scale.json`."""

import sys
from pathlib import Path

from deploy.benchmarks.parts import Benchmark, Part
from deploy.benchmarks.scaling import footprint_part, import_part, setup_part, step_part

BENCHMARK = Benchmark(
    module="deploy.benchmarks.scaling",
    summary="Measure how time and memory grow with the data.",
    parts=(
        Part(
            "setup", "what a training sets up before its first step, by items", setup_part.measure
        ),
        Part("step", "a step of training, by interactions", step_part.measure),
        Part("import", "own data of up to 100 million rows", import_part.measure),
        Part(
            "alone",
            "memory of training, Redis and service, behaviour alone",
            footprint_part.measure_alone,
        ),
        Part(
            "content",
            "memory of training, Redis and service, with two content modalities",
            footprint_part.measure_content,
        ),
    ),
    results=Path("scale.json"),
    section="scaling",
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
