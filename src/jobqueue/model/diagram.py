"""docs/states.md, made from the table: ``python -m jobqueue.model.diagram > docs/states.md``."""

from __future__ import annotations

import sys

from jobqueue.model.record import TRANSITIONS, Transition


def page() -> str:
    """The page: a diagram and the table."""
    return f"""# The states of a job

Made from the table in `jobqueue.model.record`, which the memory backend checks its every move against. Change the
table, then run `python -m jobqueue.model.diagram > docs/states.md`.

```mermaid
stateDiagram-v2
{chr(10).join(f"    {_arrow(row)}" for row in TRANSITIONS)}
```

| from | on | to |
|---|---|---|
{chr(10).join(f"| {row.source or '(new)'} | {row.trigger} | {row.target} |" for row in TRANSITIONS)}

`blocked` is the state of jobs that wait for others: dependencies, or jobs they have added while they ran.
"""


def _arrow(row: Transition) -> str:
    words = row.trigger.replace(":", " -").replace(";", ",")
    return f"{row.source or '[*]'} --> {row.target}: {words}"


if __name__ == "__main__":
    sys.stdout.write(page())
