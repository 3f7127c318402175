from datetime import UTC, datetime

from model.registry.keys import KeySpace

KEYS = KeySpace("shop")


def test_whatever_changes_in_one_transaction_is_in_one_slot() -> None:
    names = ["current", "previous", "versions", "lock", "fence", "events", "pinned", "canary"]
    names += ["canary_answers", "retrain_lock"]
    names += ["runs", "unavailable", "availability_revision", "feedback", "feedback_ids"]
    keys = [getattr(KEYS, name) for name in names]
    assert keys == [f"mg:{{shop}}:{name}" for name in names]


def test_an_experiment_is_in_that_slot_too_and_named_by_its_canary() -> None:
    begun = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    counts, *others = KEYS.experiment("v2", begun)
    assert counts == "mg:{shop}:experiment:v2:1767268800500"
    assert others == [f"{counts}:users", f"{counts}:lists"]


def test_users_are_spread_over_the_nodes_of_a_cluster() -> None:
    assert KEYS.live("196") == "mg:shop:live:196"


def test_no_version_key_is_anothers() -> None:
    keys = [KEYS.manifest("v1"), KEYS.chunk("v1", "item_bias", 0), KEYS.live("v:v1:manifest")]
    assert len(set(keys)) == 3
    assert [key.startswith(KEYS.every_version_pattern[:-1]) for key in keys] == [True, True, False]
