"""What the environment says: REDIS_URL, or REDIS_HOST and its fellows, and JOBQUEUE_*."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobqueue.codecs.codec import Codec
from jobqueue.codecs.configured import configured_codec
from jobqueue.errors import ConfigurationError


class Settings(BaseSettings):
    """Read once by ``connect()``; arguments of ``connect`` come first."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    redis_url: SecretStr | None = None
    redis_host: str | None = None
    redis_port: int = Field(default=6379, ge=1, le=65535)
    redis_db: int = Field(default=0, ge=0)
    redis_username: str | None = None
    redis_password: SecretStr | None = None
    jobqueue_fallback: Literal["memory", "never"] = "memory"
    jobqueue_namespace: str = "jobqueue"
    jobqueue_signing_keys: SecretStr = SecretStr("")
    jobqueue_encryption_keys: SecretStr = SecretStr("")
    jobqueue_accept_plain: bool = False

    @property
    def url(self) -> str | None:
        """The URL to connect to, password and all; None where nothing is configured."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        if self.redis_host is None:
            return None
        password = self.redis_password.get_secret_value() if self.redis_password else ""
        access = f"{quote(self.redis_username or '', safe='')}:{quote(password, safe='')}@" if password else ""
        host = f"[{self.redis_host}]" if ":" in self.redis_host else self.redis_host
        return f"redis://{access}{host}:{self.redis_port}/{self.redis_db}"

    @property
    def codec(self) -> Codec | None:
        """The codec that the keys are for; None where there are none. Raises ConfigurationError."""
        return configured_codec(
            self.jobqueue_signing_keys.get_secret_value(),
            self.jobqueue_encryption_keys.get_secret_value(),
            accept_plain=self.jobqueue_accept_plain,
        )


def read_settings() -> Settings:
    """The environment's settings. Raises ConfigurationError that names the variable and not its value."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{str(fault['loc'][0]).upper()}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise ConfigurationError(f"the environment cannot be used: {wrong}") from None
