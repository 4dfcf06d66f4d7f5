"""One codec of each kind, for the tests that put one in front of a backend."""

from __future__ import annotations

from jobqueue import Codec, Encrypted, Signed

CODECS: dict[str, Codec] = {
    "signed": Signed(keys={"2026-11": b"s" * 32}, current="2026-11"),
    "encrypted": Encrypted(keys={"2026-11": b"e" * 32}, current="2026-11"),
}
