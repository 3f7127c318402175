"""Part `half`: items' vectors in 16 bits, beside the same model's in 32."""

import statistics
import sys
from contextlib import ExitStack
from dataclasses import replace

from deploy.benchmarks.parts import Outcome, scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.rig import proportional_mb, rig
from deploy.benchmarks.serving.shards_part import asked, compared
from deploy.local.servers import get_json
from model.artifact.build import halved
from model.artifact.files import Artifact
from model.artifact.manifest import TensorSpec
from model.runtime.artifact import ArtifactScorer, record_golden

_ITEMS, _USERS, SEED = 1_000_000, 1_000, 0
_ROUNDS = 7
_PROTOCOL = f"""### Vectors in 16 bits

`make bench BENCH=half`: a grown model (seed {SEED}, {{items}} items, three modalities) whose items'
vectors are in 32 bits, as trained, and the same in 16 (as `magnet fit` writes those of more than
100,000 items), served through the index from `MAGNET_CACHE_DIR` and asked in {_ROUNDS} rounds in
turns. *In both lists*: share of the places of 200 users' top 20; scores: the largest difference of
an item's two scores; sums: of a score in 16 bits and the sum of its bias and contributions.
Processor time is that of an answer; memory is proportional, after the load.
`BENCH_SCALE=1` is {_ITEMS:,} items."""


def measure() -> Outcome:
    """Serve both, and ask them in turn."""
    items = scaled(_ITEMS, 2_000)
    with ExitStack() as stack:
        whole = grown_artifact(items, _USERS, SEED)
        artifacts = {32: whole, 16: in_half(whole)}
        megabytes = {
            bits: sum(each.nbytes for each in artifact.tensors.values()) / 1e6
            for bits, artifact in artifacts.items()
        }
        replicas = {}
        for bits, artifact in artifacts.items():
            sys.stderr.write(f"  {bits} bits ...\n")
            held = stack.enter_context(rig())  # each is live in a server of its own
            held.publish(held.save(artifact))
            settings = {
                "MAGNET_CACHE_DIR": str(held.folder / "cache"),
                "MAGNET_RETRIEVAL": "approximate",
            }
            replicas[bits] = held.start(settings)
        recalls = {
            bits: get_json(f"{replica.url}/v1/model")["retrieval"]["recall_at_20"]
            for bits, replica in replicas.items()
        }
        found = compared(replicas[32], replicas[16])
        rounds = [
            {bits: asked(replica).processor_ms[0] for bits, replica in replicas.items()}
            for _ in range(_ROUNDS + 1)
        ][1:]
        rows = [
            {
                "bits": f"{bits}",
                "recall": f"{recalls[bits]:.4f}",
                "artifact, MB": f"{megabytes[bits]:,.0f}",
                "replica, MB": f"{proportional_mb(replica.child.pid):,.0f}",
                "processor, ms": f"{statistics.median(each[bits] for each in rounds):.2f}",
                "in both lists": f"{found.in_both:.4f}",
                "scores differ by": f"{found.differ_by:.1e}",
                "sums by": f"{found.sums_differ_by:.1e}",
            }
            for bits, replica in replicas.items()
        ]
        figures = {
            "half_in_both_lists": round(found.in_both, 5),
            "half_score_difference": found.differ_by,
            "half_sum_difference": found.sums_differ_by,
            "half_processor_over_whole": round(
                statistics.median(each[16] / each[32] for each in rounds), 3
            ),
            "half_replica_bytes_an_item": round(
                proportional_mb(replicas[16].child.pid) * 1e6 / items
            ),
        }
    return Outcome.of(figures, _PROTOCOL.format(items=f"{items:,}"), rows)


def in_half(artifact: Artifact) -> Artifact:
    """The same model in 16 bits, with golden pairs of its own."""
    manifest, tensors = artifact.manifest, halved(artifact.tensors)
    scorer = ArtifactScorer.of(Artifact(manifest=manifest, tensors=tensors, files=artifact.files))
    rows = manifest.golden.user_rows
    golden = record_golden(
        scorer.scorer, [scorer.user(row) for row in rows], rows, manifest.golden.item_rows
    )
    changed = {
        "model_version": f"{manifest.model_version}-half",
        "tensors": {name: TensorSpec.of(array) for name, array in tensors.items()},
        "golden": golden,
    }
    return replace(artifact, manifest=manifest.model_copy(update=changed), tensors=tensors)
