"""OpenAPI of the models that are served: each with its inputs, outputs and an example, in both versions of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resources.serving.models import LoadedModel

_JSON_TYPES = {"FP64": "number", "INT64": "integer", "BYTES": "string", "BOOL": "boolean"}


def describe_api(models: Mapping[str, LoadedModel], base: str) -> dict[str, Any]:
    """The OpenAPI document of what is served.

    Args:
        models: by name.
        base: address by which the client asked.
    """
    paths: dict[str, Any] = {}
    for name, model in sorted(models.items()):
        about = f"{name}, version {model.version}: {model.model.answer.task.replace('_', ' ')}"
        paths[f"/v1/models/{name}:predict"] = _operation(name, f"{about}; rows as objects", example_request(model, "v1"), _v1(model))
        paths[f"/v2/models/{name}/infer"] = _operation(name, f"{about}; a tensor per column", example_request(model, "v2"), _v2(model))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lakeloop predictions", "version": version_of("lakeloop"), "description": "Open Inference Protocol, V1 and V2."},
        "servers": [{"url": base}],
        "paths": paths,
    }


def example_request(model: LoadedModel, protocol: str) -> dict[str, Any]:
    """A request of one row that the model answers: zeros, and texts that its training saw, none of them personal."""
    row = {f.name: model.example_text(f.name) if f.kind == "string" else 0.0 for f in model.inputs.fields}
    if protocol == "v1":
        return {"instances": [row]}
    tensors = [
        {"name": f.name, "shape": [1], "datatype": "BYTES" if f.kind == "string" else "FP64", "data": [row[f.name]]}
        for f in model.inputs.fields
    ]
    return {"inputs": tensors}


def _operation(name: str, about: str, example: Mapping[str, Any], schemas: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    request, response = schemas
    error = {"type": "object", "properties": {"error": {"type": "string"}, "field": {"type": ["string", "null"]}, "id": {"type": "string"}}}
    problems = {"400": "a value isn't what the model takes", "404": "not served", "413": "too large", "503": "the server is busy"}
    return {
        "post": {
            "summary": about,
            "tags": [name],
            "requestBody": {"required": True, "content": {"application/json": {"schema": request, "example": example}}},
            "responses": {
                "200": {"description": "the predictions", "content": {"application/json": {"schema": response}}},
                **{code: {"description": text, "content": {"application/json": {"schema": error}}} for code, text in problems.items()},
            },
        }
    }


def _v1(model: LoadedModel) -> tuple[dict[str, Any], dict[str, Any]]:
    properties = {f.name: {"type": ["string" if f.kind == "string" else "number", "null"]} for f in model.inputs.fields}
    keys = {key: {"description": "who or when the row is about; optional"} for key in model.inputs.keys}
    row = {"type": "object", "properties": {**properties, **keys}, "required": list(properties), "additionalProperties": False}
    request = {"type": "object", "properties": {"instances": {"type": "array", "minItems": 1, "items": row}}, "required": ["instances"]}
    outputs = {name: {"type": [_JSON_TYPES[kind], "null"]} for name, kind in model.outputs.types.items()}
    prediction = next(iter(outputs.values())) if len(outputs) == 1 else {"type": "object", "properties": outputs}
    return request, {"type": "object", "properties": {"predictions": {"type": "array", "items": prediction}, **_NAMES}}


def _v2(model: LoadedModel) -> tuple[dict[str, Any], dict[str, Any]]:
    def tensors(types: Mapping[str, str]) -> dict[str, Any]:
        kinds = {
            "type": "object",
            "properties": {**_TENSOR, "name": {"enum": list(types)}, "datatype": {"enum": sorted(set(types.values()))}},
        }
        return {"type": "array", "minItems": 1, "items": kinds}

    inputs = {f.name: "BYTES" if f.kind == "string" else "FP64" for f in model.inputs.fields}
    request = {"type": "object", "properties": {"id": {"type": "string"}, "inputs": tensors(inputs)}, "required": ["inputs"]}
    names = {**_NAMES, "id": {"type": "string"}}
    return request, {"type": "object", "properties": {**names, "outputs": tensors(model.outputs.types)}}


_TENSOR = {"shape": {"type": "array", "items": {"type": "integer"}}, "data": {"type": "array"}}
_NAMES = {"model_name": {"type": "string"}, "model_version": {"type": "string"}}
