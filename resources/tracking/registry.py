"""The model registry: versions by fingerprint, and the aliases that only `releases` moves."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lakeloop.errors import Conflict
from resources.host.locks import file_lock
from resources.settings import Settings
from resources.tracking.client import set_up_client
from resources.tracking.tags import FINGERPRINT_TAG, READY_TAG, REPORT_TAG, RETIRED_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from resources.tracking.model_format import LoggedModel
    from resources.tracking.runs import RunHandle

CHAMPION, CHALLENGER = "champion", "challenger"


class Registry:
    """Registered models at one MLflow server."""

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri

    @property
    def client(self) -> MlflowClient:
        """A client of the server."""
        set_up_client()
        import mlflow

        return mlflow.MlflowClient(self.tracking_uri, registry_uri=self.tracking_uri)

    def find_version(self, name: str, fingerprint: str) -> str | None:
        """The finished version with a fingerprint, the first if there are several; None where there is none."""
        versions = self.client.search_model_versions(f"name = '{_quoted(name)}'")
        matching = [v for v in versions if v.tags.get(FINGERPRINT_TAG) == fingerprint and v.tags.get(READY_TAG) == "true"]
        return str(min(int(v.version) for v in matching)) if matching else None

    def names(self) -> list[str]:
        """The registered models."""
        return sorted(model.name for model in self.client.search_registered_models(max_results=1000))

    def versions(self, name: str) -> list[int]:
        """The versions of a registered model in rising order; none where there is no such model."""
        return sorted(int(v.version) for v in self.client.search_model_versions(f"name = '{_quoted(name)}'"))

    def aliases(self, name: str) -> list[str]:
        """The aliases of a registered model."""
        return sorted(self.client.get_registered_model(name).aliases)

    def version_of(self, name: str, alias: str) -> str | None:
        """The version that an alias names; None where there is no such alias."""
        import mlflow

        try:
            return str(self.client.get_model_version_by_alias(name, alias).version)
        except mlflow.MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def set_alias(self, name: str, alias: str, version: str, *, expected: str | None) -> None:
        """Move an alias, if it is still on the expected version.

        Raises:
            Conflict: somebody else moved it.
        """
        with file_lock(Settings.from_environment().home / "locks", f"alias-{name}"):
            current = self.version_of(name, alias)
            if current == version:
                return
            if current != expected:
                raise Conflict(
                    f"{name}: wanted the alias {alias} on version {expected or 'none'}, found it on {current or 'none'}; nothing was moved"
                )
            self.client.set_registered_model_alias(name, alias, version)

    def retire(self, name: str, at: str) -> None:
        """Tag a registered model, where there is one, as one whose workflow was removed; versions and aliases stay."""
        if self._tags(name) is not None:
            self.client.set_registered_model_tag(name, RETIRED_TAG, at)

    def take_up(self, name: str) -> None:
        """Take that tag away, where there is one: the workflow is there again."""
        if RETIRED_TAG in (self._tags(name) or {}):
            self.client.delete_registered_model_tag(name, RETIRED_TAG)

    def _tags(self, name: str) -> Mapping[str, str] | None:
        """The tags of a registered model; None where there is no such model."""
        return next((model.tags for model in self.client.search_registered_models(f"name = '{_quoted(name)}'")), None)

    def refer(self, name: str, uri: str, *, tags: Mapping[str, str], fingerprint: str) -> str:
        """Create a version that refers to another model's, whose files stay where they are.

        Args:
            name: of the model that gets the version; created if there is none.
            uri: `models:/<name>/<version>` of the other.
            tags: of the new version.
            fingerprint: by which it is found again.

        Returns:
            The version.
        """
        client = self.client
        _create_model(client, name)
        created = client.create_model_version(name, uri, tags={**tags, FINGERPRINT_TAG: fingerprint, READY_TAG: "true"})
        return str(created.version)

    def run_of(self, name: str, version: str) -> str:
        """The MLflow run that created a version."""
        return str(self.client.get_model_version(name, version).run_id)

    def finish_run_of(self, name: str, version: str) -> str:
        """Set the MLflow run that created a version FINISHED, however its step ended after that; returns its id."""
        run_id = self.run_of(name, version)
        if self.client.get_run(run_id).info.status != "FINISHED":
            self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def tags_of(self, name: str, version: str) -> dict[str, str]:
        """The tags of a version."""
        return dict(self.client.get_model_version(name, version).tags)

    def set_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Tag a version, so that it can be searched by it."""
        self.client.set_model_version_tag(name, version, key, value)

    def model_id(self, name: str, version: str) -> str:
        """The logged model that a version was created from: its source is `models:/<id>`, and the server leaves the id itself out."""
        model_version = self.client.get_model_version(name, version)
        return str(model_version.model_id or str(model_version.source).removeprefix("models:/"))

    def attach_report(self, name: str, version: str, url: str, page: str, *, own_files: bool = True) -> None:
        """Attach a report to a version: its address as a tag and in the description, and where the version has its own files, the page there."""
        client = self.client
        if own_files:
            self._attach_page(name, version, page)
        client.set_model_version_tag(name, version, REPORT_TAG, url)
        client.update_model_version(name, version, f"[Evaluation report]({url})")

    def _attach_page(self, name: str, version: str, page: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "report.html")
            file.write_text(page, encoding="utf-8")
            self.client.log_model_artifact(self.model_id(name, version), str(file), "evaluation")


def register(run: RunHandle, logged: LoggedModel, name: str, *, tags: Mapping[str, str], fingerprint: str) -> str:
    """Register a logged model; the same fingerprint gives the version that is there already.

    A version counts only with its `lakeloop.ready` tag, which is set in the same request that creates it.

    Returns:
        The version.
    """
    registry = Registry(run.client.tracking_uri)
    # Two runs that fit the same at once register one version.
    with file_lock(Settings.from_environment().home / "locks", f"register-{name}"):
        existing = registry.find_version(name, fingerprint)
        if existing is not None:
            return existing
        _create_model(run.client, name)
        all_tags = {**tags, FINGERPRINT_TAG: fingerprint, READY_TAG: "true"}
        created = run.client.create_model_version(name, logged.uri, run.run_id, tags=all_tags, model_id=logged.model_id)
        return str(created.version)


def _create_model(client: MlflowClient, name: str) -> None:
    """Create a registered model unless there is one."""
    import mlflow

    try:
        client.create_registered_model(name)
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _quoted(name: str) -> str:
    return name.replace("'", "''")
