"""What Dagster shows of an asset: previews with personal values masked, column schemas, tables and pictures as Markdown."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.masking import mask_row
from lakeloop.spec.tables import Column

if TYPE_CHECKING:
    import pyarrow as pa


PREVIEW_ROWS = 5


def table_metadata(rows: pa.Table, personal: Collection[str], *, uri: str = "", version: int | None = None) -> dict[str, Any]:
    """Row count, size and a preview, in the fields that Dagster's catalog shows; values of personal columns never appear."""
    fields: dict[str, Any] = {
        "dagster/row_count": rows.num_rows,
        "size_mb": round(rows.nbytes / 1e6, 2),
        "preview": dg.MetadataValue.md(preview(rows, personal)),
    }
    if uri:
        fields["dagster/uri"] = uri
    if version is not None:
        fields["delta_version"] = version
    return fields


def column_schema(
    columns: Mapping[str, Column], personal: Collection[str], more: Mapping[str, tuple[str, str]] | None = None
) -> dg.TableSchema:
    """Dagster's schema of declared columns, plus `more` columns as name -> (type, description); personal ones are called so."""
    listed = [
        dg.TableColumn(
            name,
            type=col.type,
            description=" ".join(
                filter(None, [col.description, f"[{col.unit}]" if col.unit else "", "(personal)" if name in personal else ""])
            ),
            constraints=dg.TableColumnConstraints(nullable=col.nullable),
        )
        for name, col in columns.items()
    ]
    listed += [
        dg.TableColumn(name, type=kind, description=f"{text} (personal)" if name in personal else text)
        for name, (kind, text) in (more or {}).items()
    ]
    return dg.TableSchema(columns=listed)


def preview(rows: pa.Table, personal: Collection[str] = ()) -> str:
    """The first rows as a Markdown table, personal values masked, internal columns left out."""
    names = [name for name in rows.column_names if not name.startswith("_")]
    return markdown_table([mask_row(row, personal) for row in rows.select(names).slice(0, PREVIEW_ROWS).to_pylist()], names)


def markdown_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> str:
    """Records as a Markdown table."""
    names = list(names or (rows[0] if rows else []))
    if not names:
        return "(no rows)"
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return str(value).replace("|", "\\|").replace("\n", " ")[:80]


def figures(pictures: Mapping[str, str]) -> dg.MarkdownMetadataValue:
    """SVG pictures by title as one piece of metadata, which Dagster's UI shows as pictures."""
    return dg.MetadataValue.md(
        "\n\n".join(
            f"![{title}](data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()})" for title, picture in pictures.items()
        )
    )
