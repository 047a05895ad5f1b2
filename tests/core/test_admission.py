"""Which wanted trainings start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streams.policy import AdmissionPolicy
from trainer import admission
from trainer.admission import Admission, Refuse, Start, Wanted

T0 = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = AdmissionPolicy(cooldown=timedelta(hours=6), trainings_per_30_days=3, failures_to_open=2)


def want(cause: str, hours: float = 0.0, *, automatic: bool = True, in_flight: str = "") -> Wanted:
    return Wanted(model="m", cause=cause, at=T0 + timedelta(hours=hours), automatic=automatic, in_flight=in_flight)


def admit(state: Admission, wanted: Wanted) -> tuple[Admission, Start | Refuse]:
    return admission.advance(state, wanted, POLICY)


def test_the_same_cause_is_the_same_run() -> None:
    """Run ids derive from model and cause."""
    first, second = admit(Admission(), want("a"))[1], admit(Admission(), want("a", hours=9))[1]
    assert isinstance(first, Start)
    assert first == second
    assert admit(Admission(), want("b"))[1] != first


def test_a_request_during_a_run_joins_it() -> None:
    """One run in flight; who asks meanwhile is told which."""
    state, answer = admit(Admission(), want("a", in_flight="run-1"))
    assert isinstance(answer, Refuse)
    assert answer.joined == "run-1"
    assert state == Admission()


def test_cooldown_holds_automatic_wants_only() -> None:
    """A person is not made to wait."""
    state, _ = admit(Admission(), want("a"))
    _, refused = admit(state, want("b", hours=5))
    assert isinstance(refused, Refuse)
    assert refused.numbers == {"seconds_left": 3600.0}
    assert isinstance(admit(state, want("c", hours=5, automatic=False))[1], Start)
    assert isinstance(admit(state, want("d", hours=6))[1], Start)


def test_the_budget_holds_everybody_and_rolls_on() -> None:
    """So many runs in any 30 days, whoever asks; the 31st day counts anew."""
    state = Admission()
    for number in range(3):
        state, answer = admit(state, want(str(number), hours=10.0 * number))
        assert isinstance(answer, Start)
    for automatic in (True, False):
        _, answer = admit(state, want("more", hours=31, automatic=automatic))
        assert isinstance(answer, Refuse)
        assert answer.numbers == {"started": 3.0, "budget": 3.0}
    assert isinstance(admit(state, want("later", hours=24 * 30 + 1))[1], Start)


def test_failures_in_a_row_open_the_breaker_until_a_person_asks() -> None:
    """A person's request closes it; a run that gave a candidate does too."""
    state = Admission()
    for _ in range(2):
        state = admission.run_ended(state, failed=True)
    assert isinstance(admit(state, want("a"))[1], Refuse)
    closed, answer = admit(state, want("b", automatic=False))
    assert isinstance(answer, Start)
    assert closed.failed_in_a_row == 0
    assert admission.run_ended(state, failed=False).failed_in_a_row == 0


def test_ten_thousand_wants_stay_within_the_budget_and_in_memory() -> None:
    """A storm starts no more than the budget, and the state stays small."""
    state, started = Admission(), 0
    for number in range(10_000):
        state, answer = admit(state, want(str(number), hours=number / 100, automatic=False))
        started += isinstance(answer, Start)
    assert started == 3
    assert len(state.started) <= 2 * POLICY.trainings_per_30_days


def test_a_person_far_ahead_of_the_event_time_uses_no_budget_of_what_was() -> None:
    """In a replay of the past, requests of today are counted when the stream has come that far."""
    state = Admission()
    for number in range(3):
        state, _ = admit(state, want(f"today-{number}", hours=24 * 9_000.0, automatic=False))
    assert isinstance(admit(state, want("more", hours=24 * 9_000.0, automatic=False))[1], Refuse)
    assert isinstance(admit(state, want("then"))[1], Start)
