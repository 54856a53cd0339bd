"""Run by a release's own code: looks once at the items that come in, and says what it would write.

Standard input: the wire form of the items of one experiment, and the time. Standard output: the
wire form of the record after one step, the ids of commands it knows, and whether it changed.
"""

import json
import sys
from datetime import datetime

from novaloop.experiment.decide import decide
from novaloop.experiment.moves import Policy
from novaloop.experiment.observation import Observation, Phase, Work

from novaloop.store import table
from novaloop.store.items import Item

given = json.load(sys.stdin)
items = [Item.from_raw_data(item) for item in given["items"]]
snapshot = table._snapshot(given["experiment_id"], items)  # type: ignore[attr-defined]
seen = Observation(snapshot, Work(phase=Phase.READY))
decision = decide(seen, datetime.fromisoformat(given["now"]), Policy())
json.dump(
    {
        "record": table._record_model(decision.record).serialize(),  # type: ignore[attr-defined]
        "history": [f"{entry.what}: {entry.why}" for entry in decision.history],
        "commands": [command.command_id for command in snapshot.commands],
    },
    sys.stdout,
)
