"""Rows: lines that are the data of events of one type, as CSV or as JSON objects."""

from __future__ import annotations

import csv

from cli.reading import BadInput, Incoming, Reader, parsed


class Rows:
    """Makes events of one type from lines.

    The columns of CSV are named by a first line that has names of fields and nothing else; without one they
    are the event's fields in their order. An empty cell of a field that has a default leaves it out. A row is
    one line.
    """

    def __init__(self, reader: Reader, type: str) -> None:
        self._reader = reader
        self._model = reader.type_named(type)
        self._names: list[str] | None = None
        self._heading: list[str] | None = None

    def from_line(self, raw: bytes) -> Incoming | None:
        """Return the event of a line, None for the line that names the columns.

        Raises BadInput or MessageError.
        """
        if raw.lstrip().startswith(b"{"):
            return Incoming(self._reader.event(self._model.type_name, parsed(raw)), None)
        cells = _cells(raw)
        if self._names is None:
            self._heading = cells if set(cells) <= set(self._model.model_fields) else None
            self._names = self._heading or list(self._model.model_fields)
        if cells == self._heading:
            return None
        if len(cells) != len(self._names):
            raise BadInput(f"has {len(cells)} values, not {len(self._names)} ({', '.join(self._names)})")
        data = {
            name: cell
            for name, cell in zip(self._names, cells, strict=True)
            if cell or self._model.model_fields[name].is_required()
        }
        return Incoming(self._reader.event(self._model.type_name, data), None)


def _cells(raw: bytes) -> list[str]:
    try:
        (cells,) = csv.reader([raw.decode("utf-8-sig").rstrip("\r\n")], strict=True)
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} is 0x{error.object[error.start]:02x}"
        raise BadInput(f"not UTF-8 text: {where}") from None
    except (csv.Error, ValueError) as error:
        raise BadInput(f"no CSV: {error}") from None
    return [cell.strip() for cell in cells]
