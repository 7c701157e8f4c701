"""The types of the expressions of a PySpark plan, which names none: asked of the engine, by a projection over what the expression stands on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructField

_FEW = 40
"""Expressions that are asked for at once."""


class PlanTypes:
    """The types of expressions over some relations, asked once each."""

    def __init__(self, spark: SparkSession) -> None:
        """Ask the engine of a session."""
        self.spark = spark
        self._known: dict[bytes, StructField | None] = {}

    def of(self, expression: Any, relations: Sequence[Any]) -> StructField | None:
        """The name and the type that the engine gives an expression over relations; None if it can't tell, as in a lambda."""
        self.ask([expression], relations)
        return self._known[_key(expression, relations)]

    def ask(self, expressions: Sequence[Any], relations: Sequence[Any]) -> None:
        """Ask for expressions together; one by one where that fails."""
        missing = [each for each in expressions if _key(each, relations) not in self._known]
        for start in range(0, len(missing), _FEW):
            part = missing[start : start + _FEW]
            fields = self._fields(part, relations)
            for expression in part:
                known = fields.pop(0) if fields is not None and len(part) > 1 else None
                if known is None:
                    alone = self._fields([expression], relations) if len(part) > 1 or fields is None else fields
                    known = alone[0] if alone else None
                self._known[_key(expression, relations)] = known

    def columns(self, relations: Sequence[Any]) -> dict[str, str]:
        """The columns of relations with their types; empty if the engine can't tell."""
        from pyspark.errors import PySparkException
        from pyspark.sql.connect.proto import base_pb2

        try:
            fields = self.spark.client.schema(base_pb2.Plan(root=_together(relations))).fields  # type: ignore[attr-defined]
        except PySparkException:
            return {}
        return {field.name: field.dataType.simpleString() for field in fields}

    def _fields(self, expressions: Sequence[Any], relations: Sequence[Any]) -> list[StructField] | None:
        from pyspark.errors import PySparkException
        from pyspark.sql.connect.proto import base_pb2, relations_pb2

        relation = relations_pb2.Relation(project=relations_pb2.Project(input=_together(relations), expressions=expressions))
        try:
            fields = list(self.spark.client.schema(base_pb2.Plan(root=relation)).fields)  # type: ignore[attr-defined]
        except PySparkException:
            return None
        return fields if len(fields) == len(expressions) else None


def relations_below(message: Any) -> list[Any]:
    """The relations that a message is about, of its own fields only."""
    return [part for part in parts_of(message) if part.DESCRIPTOR.name == "Relation"]


def expressions_below(message: Any) -> Iterator[Any]:
    """The outermost expressions of a message, without those of the relations that it is about."""
    for part in parts_of(message):
        if part.DESCRIPTOR.full_name == "spark.connect.Expression":
            yield part
        elif part.DESCRIPTOR.name != "Relation":
            yield from expressions_below(part)


def parts_of(message: Any) -> Iterator[Any]:
    """The messages that are fields of a message."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            yield from value.values() if field.message_type.fields_by_name["value"].message_type is not None else ()
        else:
            yield from value if field.is_repeated else [value]


def _together(relations: Sequence[Any]) -> Any:
    """One relation of the columns of all."""
    from pyspark.sql.connect.proto import relations_pb2

    whole = relations[0]
    for other in relations[1:]:
        cross = relations_pb2.Join(left=whole, right=other, join_type=relations_pb2.Join.JoinType.JOIN_TYPE_CROSS)
        whole = relations_pb2.Relation(join=cross)
    return whole


def _key(expression: Any, relations: Sequence[Any]) -> bytes:
    return b"\0".join(each.SerializeToString(deterministic=True) for each in (expression, *relations))
