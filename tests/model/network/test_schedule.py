import pytest

from model.network.schedule import EntropySchedule, swing


def run(utilisation: list[float], loss: list[float]) -> EntropySchedule:
    schedule = EntropySchedule(coverage_weight=0.1, specialisation_weight=0.2)
    for pair in zip(utilisation, loss, strict=True):
        schedule.observe(*pair)
    return schedule


def test_coverage_lasts_while_utilisation_rises() -> None:
    rising = [0.3 + 0.02 * epoch for epoch in range(30)]
    assert run(rising, [1.0] * 30).trigger_epoch is None


def test_coverage_lasts_while_the_loss_falls() -> None:
    falling = [5.0 * 0.97**epoch for epoch in range(30)]
    assert run([0.99] * 30, falling).trigger_epoch is None


def test_specialisation_starts_by_itself_when_both_have_levelled_off() -> None:
    utilisation = [min(0.9, 0.5 + 0.05 * epoch) for epoch in range(40)]
    loss = [max(3.0, 5.0 - 0.2 * epoch) for epoch in range(40)]
    schedule = run(utilisation, loss)
    assert schedule.trigger_epoch is not None
    assert 10 < schedule.trigger_epoch < 25


def test_the_trigger_does_not_depend_on_the_scale_of_the_loss() -> None:
    utilisation = [min(0.9, 0.5 + 0.05 * epoch) for epoch in range(40)]
    loss = [max(3.0, 5.0 - 0.2 * epoch) for epoch in range(40)]
    scaled = [1000 * value for value in loss]
    assert run(utilisation, loss).trigger_epoch == run(utilisation, scaled).trigger_epoch


def test_the_first_stage_asks_for_coverage_only_and_the_second_ramps_up() -> None:
    schedule = EntropySchedule(coverage_weight=0.1, specialisation_weight=0.2)
    first = schedule.weights()
    assert schedule.stage == "coverage"
    assert (first.coverage, first.specialisation, first.gate, first.floor) == (0.1, 0.0, 0.0, 1.0)
    while schedule.stage == "coverage":
        schedule.observe(0.8, 3.0)
    ramp = []
    for _ in range(8):
        ramp.append(schedule.weights())
        schedule.observe(0.8, 3.0)
    assert [w.gate for w in ramp] == pytest.approx([min(1, (i + 1) / 5) for i in range(8)])
    assert [w.specialisation for w in ramp] == pytest.approx([0.2 * w.gate for w in ramp])
    assert all(w.floor == pytest.approx(0.9 * 0.8) for w in ramp)


def test_swing_needs_a_whole_window() -> None:
    assert swing([1.0, 2.0], window=2) == float("inf")
    assert swing([9.0, 1.0, 2.0, 1.5], window=2) == 1.0
