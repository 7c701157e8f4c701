"""An asset whose work is spread over steps: helpers side by side, which the executor may place on other machines, then the step that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg


def spread_asset(
    common: Mapping[str, Any],
    deps: Sequence[dg.AssetKey],
    events: Callable[[Any], Iterator[Any]],
    helpers: Sequence[Callable[[Any], None]],
    resources: set[str],
    retries: dg.RetryPolicy,
) -> dg.AssetsDefinition:
    """Make an asset of several steps.

    A step whose process is killed is tried again by Dagster, as any step with a retry policy is; the one that makes the asset waits for all.

    Args:
        common: what the asset says of itself.
        deps: what all of its steps wait for.
        events: the events of the step that makes it; a materialisation among them becomes the output that Dagster wants of a step within an asset.
        helpers: what the others do, given Dagster's context.
        resources: keys of those that every step needs.
        retries: of every step.
    """
    name = "__".join(common["key"].path)
    options: dict[str, Any] = {"ins": {"after": dg.In(dg.Nothing)}, "required_resource_keys": resources, "retry_policy": retries}

    def step(number: int, helper: Callable[[Any], None]) -> dg.OpDefinition:
        @dg.op(name=f"{name}__{number}", out=dg.Out(dg.Nothing), **options)
        def work(context) -> None:  # type: ignore[no-untyped-def]  # Dagster refuses a string as its annotation
            helper(context)

        return work

    @dg.op(name=f"{name}__found", out=dg.Out(is_required=False), **options)
    def found(context) -> Iterator[Any]:  # type: ignore[no-untyped-def]
        for event in events(context):
            made = isinstance(event, dg.MaterializeResult)
            yield dg.Output(None, metadata=event.metadata, data_version=event.data_version) if made else event

    steps = [step(number, helper) for number, helper in enumerate(helpers, 1)]
    ins = {f"after_{number}": dg.AssetIn(dep, dagster_type=dg.Nothing) for number, dep in enumerate(deps)}

    def compose(**after: Any) -> Any:
        return found([work(*after.values()) for work in steps])

    return dg.graph_asset(ins=ins, **common)(_with_parameters(compose, list(ins)))


def _with_parameters(compose: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """A function with named parameters, which is how Dagster learns of an asset's inputs."""
    import inspect

    def composed(*values: Any, **named: Any) -> Any:
        return compose(**dict(zip(names, values, strict=False)), **named)

    composed.__name__ = "composed"
    composed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    )
    return composed
