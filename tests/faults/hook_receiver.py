"""A receiver of webhooks in a process of its own: ``python -m tests.faults.hook_receiver PORT LEDGER``.

It checks each request by the secret of its path (``SECRETS`` beside the ledger, JSON), writes down what it heard
(``HEARD``, a line of JSON a write), and answers only then: well, or 500, or not at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import WebhookVerificationError

from tests.faults.ledger import Ledger
from tests.webhooks.receiver import HANG_UP, Received, receiving

SECRETS, HEARD = "secrets", "heard"
TAKEN = 204
_ANSWERS, _WEIGHTS = (TAKEN, 500, HANG_UP), (75, 15, 10)


async def main(port: int, path: Path) -> None:
    secrets: dict[str, str] = json.loads((path.parent / SECRETS).read_text(encoding="utf-8"))
    heard = os.open(path.parent / HEARD, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def answer(request: Received) -> tuple[int, Mapping[str, str]]:
        (status,) = random.choices(_ANSWERS, _WEIGHTS)
        try:
            content = request.verified(secrets[request.path])
        except WebhookVerificationError:
            content: dict[str, Any] = {"type": "unverified", "data": {"job_id": "?"}}
        line = {
            "to": request.path,
            "id": request.id,
            "type": content["type"],
            "job": content["data"]["job_id"],
            "body": hashlib.sha256(request.body).hexdigest(),
            "status": status,
        }
        os.write(heard, (json.dumps(line) + "\n").encode())
        return status, {}

    async with receiving(answer, port=port):
        Ledger(path).write("ready")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
