"""CloudEvents 1.0: messages as the JSON objects that programs of other makes understand.

The source is github.com/cloudevents/spec (v1.0.2: spec.md, formats/json-format.md), with the names of its
extensions where there are any (correlation, distributed tracing, expiry time). What is at its default is left
out:

    id type time data datacontenttype     the message
    source                                /APP, or /APP/COMPONENT that sent it
    subject                               its key
    correlationid causationid originid    ids: of the initiating event, the cause, the first of its repairs
    flow run step replyto                 of a flow's command
    class rule reason                     of an initiating event
    attempt schemaversion expirytime traceparent
    retry                                 of a flow's command with a policy of its own
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from hybrid.codec import shown
from hybrid.envelope import Envelope
from hybrid.messages import Message

SPECVERSION = "1.0"
JSON = "application/json"
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that the specification allows in no attribute."""


def cloud_event(envelope: Envelope, message: Message, app: str) -> dict[str, Any]:
    """Return a message of an application as a CloudEvent, ready for JSON: secrets masked."""
    return described(envelope, shown(message), app)


def described(envelope: Envelope, data: Any, app: str) -> dict[str, Any]:
    """Return the CloudEvent of an envelope with this data, which people may see; without any when it is
    None.
    """
    content = {"datacontenttype": JSON, "data": finite(data)} if data is not None else {}
    return {**attributes(**_core(envelope, app), **_extensions(envelope)), **content}


def attributes(**values: Any) -> dict[str, Any]:
    """Return values (text and numbers) as attributes, those that are empty or 0 left out; characters that
    none may have are replaced.
    """
    return {
        name.rstrip("_"): _REFUSED.sub("\ufffd", value) if isinstance(value, str) else value
        for name, value in values.items()
        if value
    }


def source(app: str, component: str = "") -> str:
    """Return what a CloudEvent's source is: an application, or a component of it."""
    return "/" + "/".join(quote(part, safe="") for part in (app, component) if part)


def timestamp(ms: int) -> str:
    """Return a time (ms since 1970) as RFC 3339 has it, in UTC; "" for none, and for one that has no date."""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if ms else ""


def finite(data: Any) -> Any:
    """Return data without what JSON has no word for: infinities and NaN become text."""
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    if isinstance(data, dict):
        return {name: finite(value) for name, value in data.items()}
    return [finite(value) for value in data] if isinstance(data, list | tuple) else data


def _core(envelope: Envelope, app: str) -> dict[str, Any]:
    return {
        "specversion": SPECVERSION,
        "id": envelope.id,
        "source": source(app, envelope.source),
        "type": envelope.type,
        "subject": envelope.key,
        "time": timestamp(envelope.time),
    }


def _extensions(envelope: Envelope) -> dict[str, Any]:
    return {
        "correlationid": envelope.correlation,
        "causationid": envelope.cause,
        "originid": envelope.origin,
        "flow": envelope.flow,
        "run": envelope.run,
        "step": envelope.step,
        "replyto": envelope.reply,
        "class": envelope.class_,
        "rule": envelope.rule,
        "reason": envelope.reason,
        "attempt": envelope.attempt if envelope.attempt > 1 else 0,
        "schemaversion": envelope.version if envelope.version > 1 else 0,
        "expirytime": timestamp(envelope.expires),
        "traceparent": envelope.trace,
        "retry": envelope.retry,
    }
