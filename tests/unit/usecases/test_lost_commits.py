"""What a controller did stays known when another one commits first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from novaloop.experiment.record import StageState, Status
from novaloop.usecases.reconcile import reconcile
from tests.simulation.simulation import Crashes
from tests.simulation.test_updates_in_place import BOT, NEW, OLD, both


class AfterTheUpdate(Crashes):
    """Once the update of an endpoint is requested, something happens, once."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self.happens: Callable[[], None] | None = happens

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        result = super().around(name, call)
        if name == "sagemaker.update_endpoint" and self.happens:
            happens, self.happens = self.happens, None
            happens()
        return result


def test_an_update_is_requested_once_though_another_controller_saw_it_first() -> None:
    simulation = both("update fails")
    seen: list[StageState] = []

    def look() -> None:
        seen.append(reconcile("demo", simulation.undisturbed).stages[-1].state)

    simulation.world = simulation.world_with(AfterTheUpdate(look))
    assert simulation.settles("demo") is Status.FAILED
    assert seen == [StageState.RUNNING]
    assert simulation.hosting.updates == [(BOT, NEW)]
    assert simulation.hosting.serving(BOT) == OLD
