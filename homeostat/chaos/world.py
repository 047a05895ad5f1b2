"""Everybody of one schedule, and what happens in a step: something is drawn, time goes on, each process takes its turn."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec

from homeostat import loop
from homeostat.chaos.agents import Agent
from homeostat.chaos.broker import Broker
from homeostat.chaos.controllers import Controllers
from homeostat.chaos.feed import Feed
from homeostat.chaos.observer import Observer
from homeostat.chaos.people import People
from homeostat.chaos.plan import ROLLOUT_DEADLINE, RUNS_DEADLINE, START, Plan
from homeostat.chaos.post import Post
from homeostat.chaos.releases import Releases
from homeostat.chaos.routers import Replica
from homeostat.chaos.rubbish import Rubbish
from homeostat.chaos.scorers import Scorers
from homeostat.chaos.traffic import Traffic
from homeostat.chaos.trainers import Trainer
from homeostat.chaos.windows import Windows
from homeostat.model_state import Arrival
from streams.events import ModelRegistered, Restored, Route
from streams.ports import LogUnavailable

QUIET_ROUNDS: Final = 60
_WINDOWS_A_TURN: Final = 6


class World:
    """One schedule: `step` as often as its plan says, then `quiet`."""

    def __init__(self, plan: Plan, say: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.models = tuple(plan.policies)
        self.rng = rng = random.Random(f"steps/{plan.seed}")
        self.broker = broker = Broker(START, self.models, say)
        self.releases = Releases(plan.seed)
        self.post = Post(broker, plan, rng)
        self.windows = Windows(broker, dict(plan.policies))
        self.feed = Feed(broker, self.post, rng)
        self.scorers = Scorers(broker, self.post, rng, self.windows)
        self.traffic = Traffic(broker, plan, rng, self.releases, self.windows, self.scorers, self.feed.spoilt)
        self.routers = [Replica(broker, f"router-{number}") for number in range(plan.routers)]
        self.agents = [Agent(broker, self.windows, f"agents-{number}") for number in range(plan.agents)]
        self.trainer = Trainer(broker, self.post, rng, self.releases, self.traffic)
        self.controllers = Controllers(broker, plan, rng)
        self.people = People(broker, self.post, rng, Observer(broker), self.windows, self.feed)
        self.rubbish = Rubbish(broker, self.post, rng)
        self._back_at = 0
        for model in self.models:
            broker.log.append([broker.control(self._restoration(model) if plan.restored else self._registration(model))])
            if plan.early:
                self.people.wish(model)

    def step(self) -> None:
        """One step with faults."""
        rng, plan, broker = self.rng, self.plan, self.broker
        broker.step += 1
        broker.passes(timedelta(seconds=rng.randint(5, 90)))
        if rng.random() < 0.01:
            broker.passes(timedelta(minutes=rng.randint(20, 240)))
        if self._back_at == broker.step:
            broker.log.come_back()
        elif self._back_at < broker.step and rng.random() < plan.broker_away:
            self._back_at = broker.step + rng.randint(1, 4)
            broker.log.go_away()
            broker.say("broker", "goes away until step {}", self._back_at)
        self._something_happens()
        self._processes_turn()

    def quiet(self) -> None:
        """Faults end: everything is delivered, deadlines pass, held models are let go; until nothing comes any more."""
        broker = self.broker
        broker.log.come_back()
        broker.say("broker", "quiet")
        for model in self.models:
            self.people.resume(model)
        for _ in range(QUIET_ROUNDS):
            if not self._settled():
                continue
            if not self.controllers.pending():
                return
            broker.passes(ROLLOUT_DEADLINE + RUNS_DEADLINE)
        raise AssertionError(f"no end after {QUIET_ROUNDS} rounds of quiet")

    def _settled(self) -> bool:
        """One round of everybody; whether it brought nothing new."""
        broker = self.broker
        ends = [broker.log.bounds(("control", number))[1] for number in broker.numbers]
        broker.step += 1
        broker.passes(timedelta(seconds=30))
        self.traffic.label(all_of_them=True)
        for agent in self.agents:
            agent.turn(10_000)
        self.scorers.turn(all_of_it=True)
        self.post.deliver(all_of_it=True)
        self.controllers.settle()
        self.trainer.turn(at_once=True)
        for replica in self.routers:
            replica.follow(1_000)
        return not self.post.letters and ends == [broker.log.bounds(("control", number))[1] for number in broker.numbers]

    def _something_happens(self) -> None:
        rng, plan = self.rng, self.plan
        model = rng.choice(self.models)
        number = rng.randrange(len(self.routers))
        if rng.random() < 0.6:
            self.traffic.ask(self.routers[number], number, model, rng.randint(10, 64))
        luck = rng.random()
        if luck < plan.people:
            self.people.speak(model)
        elif luck > 1 - plan.rubbish:
            self.rubbish.throw(model, self.routers[number].live.get(model))
        elif luck > 0.97 - plan.rubbish:
            self.traffic.changed ^= {model}
            self.broker.say("world", "of {} changes", model)
        elif luck > 0.95 - plan.rubbish and (route := self.routers[number].live.get(model)) is not None:
            self.feed.turn(model, route.champion)
        if rng.random() < plan.silence:
            self.scorers.silent ^= {model}
            self.broker.say("challenger", "of {} is {}", model, "silent" if model in self.scorers.silent else "heard")
        if rng.random() < plan.other_crash:
            self._somebody_dies()

    def _somebody_dies(self) -> None:
        who = self.rng.choice(("router", "trainer", "agent", "agent again", "scorer"))
        if who == "router":
            self.rng.choice(self.routers).restart()
        elif who == "trainer":
            self.trainer.restart()
        elif who == "scorer":
            self.scorers.restart()
        elif who == "agent":
            self.rng.choice(self.agents).restart(self.rng)
        else:
            self.rng.choice(self.agents).brought_again(self.rng)

    def _processes_turn(self) -> None:
        rng = self.rng
        self.traffic.label()
        for agent in self.agents:
            if agent.behind and rng.random() < 0.8:
                agent.turn(_WINDOWS_A_TURN)
                if rng.random() < 0.3:
                    agent.save()
        self.scorers.turn()
        self.post.deliver()
        self.controllers.turn()
        if rng.random() < 0.6:
            self._patiently(self.trainer.turn)
        for replica in self.routers:
            if rng.random() < 0.6:
                replica.follow(rng.choice((1, 3, 1_000)), disk_full=rng.random() < self.plan.other_crash)

    @staticmethod
    def _patiently(turn: Callable[[], None]) -> None:
        try:
            turn()
        except LogUnavailable:
            return

    def _restoration(self, model: str) -> Restored:
        """From a mirror that is behind: the routers have seen newer routes of the log that is gone."""
        arrival = Arrival(record=self._registration(model), partition=self.broker.partitions[model], offset=0, at=START)
        state, _ = loop.advance(None, arrival)
        assert state is not None  # the registration is in order
        state = msgspec.structs.replace(state, rollout=msgspec.structs.replace(state.rollout, generation=40))
        for replica in self.routers:
            replica.remembers(
                Route(
                    id="gone",
                    at=START,
                    model=model,
                    generation=43,
                    champion=state.rollout.champion,
                    decision="in the log that is gone",
                )
            )
        return Restored(
            id=f"restored-{model}", at=START, model=model, actor="ada", reason="the broker lost its disk", incarnation=2,
            state=msgspec.msgpack.encode(state),
        )  # fmt: skip

    def _registration(self, model: str) -> ModelRegistered:
        return ModelRegistered(
            id=f"registered-{model}", at=START, model=model, actor="ada", reason="first", release=self.releases.first(model),
            contract="c", policy=self.plan.policies[model],
        )  # fmt: skip
