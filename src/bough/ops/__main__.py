"""`python -m bough.ops` prints the table as Markdown."""

from __future__ import annotations

from bough.ops.table import FAMILIES


def table() -> str:
    """A Markdown section for each family: name, arguments and attributes, meaning."""
    lines: list[str] = []
    for family, operators in FAMILIES.items():
        lines += [f"## {family}", "", "| operator | arguments {attributes} | meaning |", "| --- | --- | --- |"]
        for o in operators:
            summary = o.summary.replace("|", "\\|")
            lines.append(f"| `{o.name}` | `{o.signature}` | {summary} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
