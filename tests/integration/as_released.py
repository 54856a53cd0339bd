"""Run by a release's own code: looks once at the items that come in, and says what it would write.

Standard input: the wire form of the items of one experiment, and the time. Standard output: the
wire form of the record after one step, the ids of commands it knows, and whether it changed; or
the fields of the record that it misses, where it can't read it.
"""

import json
import sys
from datetime import datetime

from novaloop.experiment.decide import decide
from novaloop.experiment.moves import Policy
from novaloop.experiment.observation import Observation, Phase, Work
from pydantic import ValidationError

from novaloop.store import table
from novaloop.store.items import Item

given = json.load(sys.stdin)
# Its query asks DynamoDB for the kinds that it knows, and for no others.
known = {"RECORD", "SPEC", "DATASET", "CHECKS", "SCORE", "COMMAND"}
items = [Item.from_raw_data(item) for item in given["items"] if item["kind"]["S"] in known]
try:
    snapshot = table._snapshot(given["experiment_id"], items)  # type: ignore[attr-defined]
except ValidationError as error:
    missing = [each["loc"][0] for each in error.errors() if each["type"] == "missing"]
    json.dump({"missing": missing}, sys.stdout)
    sys.exit()
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
