"""Settings: one frozen record, read from the environment (`HYBRID_*`), changed by flags of the CLI."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hybrid.errors import SettingsError

SCHEMES = ("redis://", "rediss://", "unix://", "redis+cluster://", "redis+sentinel://")


class Settings(BaseSettings):
    """Everything that can be set. Each field is `HYBRID_` and its name in capitals in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="HYBRID_", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    app: str = Field("bookstore", description="The application: a package, or module:attribute.")
    redis_url: str | None = Field(None, description="Redis' address; none starts the embedded server.")
    directory: Path = Field(
        Path(".hybrid"), description="Where the embedded server and the bookstore keep data."
    )
    domain: str = Field("main", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="The federated broker to use.")
    shards: int = Field(1, ge=1, le=1024, description="Number of shards; fixed when the store is created.")
    max_message_bytes: int = Field(1 << 20, ge=1024, description="Largest data of one message, in bytes.")
    max_outputs: int = Field(1000, ge=1, le=5000, description="Most messages that one delivery may send.")
    max_settle_bytes: int = Field(8 << 20, ge=4096, description="Most bytes that one delivery may send.")
    lease_ms: int = Field(
        10_000, ge=200, description="A worker not heard of for this long (ms) counts as dead."
    )
    tick_ms: int = Field(100, ge=10, description="How often (ms) timers and retries are looked for.")
    block_ms: int = Field(2_000, ge=50, description="Longest blocking read, in ms.")
    pass_on_ms: int = Field(
        600_000,
        ge=0,
        description="How long (ms) what only newer code can take is passed on, before it fails.",
    )
    stop_ms: int = Field(20_000, ge=0, description="How long (ms) running handlers get to end on shutdown.")
    concurrency: int = Field(
        16, ge=1, description="Deliveries of one handler at the same time in one process."
    )
    threads: int = Field(32, ge=1, description="Threads for handlers that are not async, per process.")
    poison_starts: int = Field(
        3, ge=1, description="Starts without an outcome (killed workers) before it fails."
    )
    dedupe_ms: int = Field(3_600_000, ge=1000, description="How long (ms) ids of sends are remembered.")
    dedupe_ids: int = Field(100_000, ge=100, description="How many ids of sends are remembered, per shard.")
    topic_entries: int = Field(
        100_000, ge=1, description="Broadcasts kept per topic after all groups had them."
    )
    topic_bytes: int = Field(
        256 << 20, ge=1 << 16, description="Bytes kept per topic after all groups had them."
    )
    topic_ms: int = Field(7 * 86_400_000, ge=1000, description="How long (ms) broadcasts are kept.")
    topic_hard_entries: int = Field(
        1_000_000, ge=1, description="Beyond this even unsettled broadcasts are cut."
    )
    log_bytes: int = Field(
        32 << 20, ge=1 << 16, description="Bytes of settle log kept, per shard; about 250,000 deliveries."
    )
    flow_entries: int = Field(10_000, ge=0, description="Ended flows kept, per shard.")
    flow_ms: int = Field(7 * 86_400_000, ge=1000, description="How long (ms) ended flows are kept.")

    @field_validator("redis_url")
    @classmethod
    def _known_scheme(cls, url: str | None) -> str | None:
        if url and not url.startswith(SCHEMES):
            raise ValueError(f"starts with one of {', '.join(SCHEMES)}")
        return url or None

    @classmethod
    def load(cls, **changes: Any) -> Self:
        """Return the settings of the environment with these changes (None is no change).

        Raises SettingsError, which names each variable with its rule.
        """
        try:
            return cls(**{name: value for name, value in changes.items() if value is not None})
        except ValidationError as error:
            texts = [f"HYBRID_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
            raise SettingsError("; ".join(texts)) from error
