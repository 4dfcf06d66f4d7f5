"""Codecs: what a job carries, signed or encrypted on its way through the backend. See docs/guide/signing.md."""
