"""What a registered version holds, in the ledger: the SHA-256 of each file, taken when it was registered, and compared whenever it is loaded.

The ledger is `reports/model_files`, with a row per version that is written once and never again: whoever can write to MLflow's artifacts can't change it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.training.model_code import ModelCode
from lakeloop.training.pipelines import TRUSTED_TYPES
from platform_assets.stages.report_rows import FLAG, TEXT, append_report
from resources.tracking.model_files import Trust
from resources.tracking.model_format import Contents, load_model, read_contents

if TYPE_CHECKING:
    from lakeloop.project.project import Located
    from lakeloop.spec.workflow import WorkflowSpec
    from platform_assets.stages.base import Platform
    from resources.lake.lake import Lake
    from resources.tracking.model_format import ServableModel

TABLE = "reports/model_files"
COLUMNS = {"model": TEXT, "files": TEXT, "types": TEXT, "code": FLAG, "taken": TEXT}
Taken = Literal["registration", "first load"]


def trust_in(located: Located[WorkflowSpec], code: ModelCode | None) -> Trust:
    """What a model that a workflow fits may hold: the types that are always trusted, those that it lists, and its own."""
    own = [f"{code.module}.*"] if code is not None else []
    return Trust((*TRUSTED_TYPES, *located.spec.model.trusted_types, *own), code=code is not None and code.file is not None)


def keep_contents(
    platform: Platform, located: Located[WorkflowSpec], name: str, version: str, contents: Contents, taken: Taken
) -> Contents:
    """Write down what a version holds, unless the ledger has it; gives what the ledger has."""
    row = {
        "domain": located.domain,
        "workflow": located.spec.name,
        "version": version,
        "run_id": platform.run_id,
        "model": name,
        "files": json.dumps(dict(contents.files), sort_keys=True),
        "types": None if contents.trust.types is None else json.dumps(list(contents.trust.types)),
        "code": contents.trust.code,
        "taken": taken,
        "at": datetime.now(UTC),
    }
    append_report(platform.lake, TABLE, COLUMNS, [row], once=f"model_files:{name}:{version}")
    return known_contents(platform.lake, name, version) or contents


def known_contents(lake: Lake, name: str, version: str) -> Contents | None:
    """What a version held when it was registered; None where nobody wrote it down, as earlier releases did not."""
    import pyarrow.compute as pc

    table = lake.open(TABLE)
    if table is None:
        return None
    rows = table.to_pyarrow_table(columns=["model", "version", "files", "types", "code"])
    rows = rows.filter(pc.and_(pc.equal(rows["model"], name), pc.equal(rows["version"], version))).to_pylist()
    return _contents(rows[0]) if rows else None


def load_version(platform: Platform, located: Located[WorkflowSpec], name: str, version: str) -> ServableModel:
    """Load a version of a workflow's model, if its files are those that were registered.

    Of a version that an older release registered nobody wrote them down: they are taken now, and the step's log says so.

    Raises:
        UnsafeModel: a file is another one, or isn't on the list of what a model may hold.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    known = known_contents(platform.lake, name, version)
    with platform.tracking.outages_reported():
        model = load_model(f"models:/{name}/{version}", platform.settings.tracking_uri, known=known)
    if known is None and model.contents is not None:
        keep_contents(platform, located, name, version, model.contents, "first load")
        platform.log.warning(
            f"{name} version {version} was registered before digests of its files were kept: they are taken now, at its first load; from now on "
            "it is loaded only as it is"
        )
    return model


def take_contents(platform: Platform, located: Located[WorkflowSpec], name: str, version: str, trust: Trust) -> Contents:
    """Check and write down the files of a version that was just registered; gives what the ledger has.

    Raises:
        UnsafeModel: a file isn't on the list of what a model may hold.
    """
    return known_contents(platform.lake, name, version) or keep_contents(
        platform, located, name, version, read_contents(f"models:/{name}/{version}", platform.settings.tracking_uri, trust), "registration"
    )


def _contents(row: dict[str, Any]) -> Contents:
    types = row["types"]
    return Contents.from_record(
        {"files": json.loads(row["files"]), "types": None if types is None else json.loads(types), "code": bool(row["code"])}
    )
