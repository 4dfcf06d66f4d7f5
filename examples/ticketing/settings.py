"""What differs from one deployment to the next, read from the environment (``TICKETING_SMTP_PORT=2525``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobqueue import Rate, Retry


class Settings(BaseSettings):
    """The application's settings; jobqueue reads its own (``REDIS_URL`` and so on) by itself."""

    model_config = SettingsConfigDict(env_prefix="TICKETING_", frozen=True)

    smtp_host: str = "127.0.0.1"
    smtp_port: int = 2525
    smtp_connections: int = Field(default=8, ge=1)
    sender: str = "desk@property.example"
    sms_gateway_url: str = "http://127.0.0.1:8025"
    retry_delay: float = Field(default=2.0, ge=0, description="seconds before the first retry; doubled each time")
    updates_after: float = Field(default=60.0, ge=0, description="seconds of quiet after which an update is mailed")
    sms_per_second: int = Field(default=20, ge=1, description="what the contract with the SMS gateway allows")
    manager: str = Field(default="manager@property.example", description="who reads the nightly report")
    warehouse: Path = Field(default=Path("ticketing.sqlite3"), description="the SQLite file that events go to")
    accounting_url: str | None = Field(default=None, description="where the accounting system takes webhooks")
    webhook_network: str | None = Field(default=None, description="a network of our own that webhooks may go to")
    ticket_slots: int = Field(default=20, ge=1, description="ticket jobs a worker runs at once")
    notification_slots: int = Field(default=20, ge=1, description="e-mails, and text messages, a worker sends at once")
    ledger_dir: Path | None = Field(default=None, description="where workers write what they did; None: nowhere")

    @property
    def retry(self) -> Retry:
        """How patient this deployment is; a demonstration cannot wait as long as production can."""
        return Retry(attempts=3, delay=self.retry_delay)

    @property
    def sms_rate(self) -> Rate:
        """Counted over all workers together, wherever a second begins."""
        return Rate(self.sms_per_second, per=1.0)

    def as_environment(self) -> dict[str, str]:
        """The same settings for a child process."""
        values = self.model_dump(exclude_none=True)
        return {f"TICKETING_{name.upper()}": str(value) for name, value in values.items()}
