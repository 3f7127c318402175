import pytest

from service.auth.authenticator import TokenBucket


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_as_many_as_drip_in() -> None:
    clock = Clock()
    bucket = TokenBucket(per_second=2.0, burst=3.0, clock=clock)
    assert [bucket.wait_seconds() for _ in range(3)] == [0, 0, 0]
    assert bucket.wait_seconds() == pytest.approx(0.5)
    clock.now += 0.25
    assert bucket.wait_seconds() == pytest.approx(0.25)
    clock.now += 0.25
    assert bucket.wait_seconds() == 0


def test_what_a_request_costs_beyond_is_a_debt() -> None:
    clock = Clock()
    bucket = TokenBucket(per_second=2.0, burst=3.0, clock=clock)
    assert bucket.wait_seconds() == 0
    bucket.take(9.0)  # 2 - 9 = -7
    assert bucket.wait_seconds() == pytest.approx(4.0)
    clock.now += 4.0
    assert bucket.wait_seconds() == 0
    assert bucket.wait_seconds() == pytest.approx(0.5)


def test_it_never_holds_more_than_a_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(per_second=10.0, burst=1.0, clock=clock)
    clock.now += 3600
    assert bucket.wait_seconds() == 0
    assert bucket.wait_seconds() > 0
