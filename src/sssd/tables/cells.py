"""A CSV file as rows of cells, whatever separates them."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from ..checks import counted

SEPARATORS = ",;\t|"
EMPTY = frozenset(  # what pandas reads as a missing value, in any case
    ("", "#n/a", "#n/a n/a", "#na", "-1.#ind", "-1.#qnan", "-nan", "1.#ind", "1.#qnan", "<na>", "n/a", "na", "nan",
     "none", "null")
)  # fmt: skip
_KEPT = re.compile(r'="([^"]*)"')  # a text that a spreadsheet shall not take for a number
_ARCHIVE = b"PK\x03\x04"  # how spreadsheets and other ZIP files begin
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MOST_ERRORS = 8  # that one message tells


def read_cells(file: Path, content: bytes | None = None) -> Iterator[list[str]]:
    """Return the names in the header of a CSV file, and then its rows, with as many cells each.

    The separator is the one of comma, semicolon, tab and bar that cuts the header into most columns; a first line
    "sep=;" says it. The text is UTF-8, or UTF-16 with a byte order mark. Cells are stripped, ="077", by which
    spreadsheets are told to keep a text, is 077, those in `EMPTY` are "", and blank rows are left out.
    content: of the file, if it is in memory; then nothing is opened.

    ValueError if it is not such a file, two columns have one name, a row has another number of cells, the header is
    there again, or a column other than the first has cells and no name.
    """
    with opened(file, content) as binary:
        start = binary.read(4)
    if start == _ARCHIVE:
        raise ValueError(f"{str(file)!r} is a spreadsheet or an archive; save the table as CSV")
    encoding = "utf-16" if start.startswith(_UTF16) else "utf-8-sig"
    n = 0
    try:
        with io.TextIOWrapper(opened(file, content), encoding, newline="") as opened_text:
            first = next((line for line in opened_text if line.strip()), "")
            stated = re.fullmatch(r'"?sep=(.?)"?\s*', first, re.IGNORECASE)
            if stated is None:
                opened_text.seek(0)
            told = stated[1] if stated else ""
            separator = told if told and told in SEPARATORS else separator_of(first)
            lines = csv.reader(opened_text, delimiter=separator, strict=True)
            rows = (row for row in lines if any(cell.strip() for cell in row))
            header = [name.strip() for name in next(rows, [])]
            _check_header(file, header)
            yield header
            for n, row in enumerate(rows, start=1):
                if len(row) != len(header):
                    raise ValueError(
                        f"{str(file)!r}, row {n}: {counted(len(row), 'cell')}; the header has {len(header)}"
                    )
                cells = [_KEPT.sub(r"\1", cell.strip()) for cell in row]
                if cells == header:
                    raise ValueError(
                        f"{str(file)!r}, row {n}: the header is there again; remove it where tables were joined"
                    )
                nameless = next((k for k in range(1, len(cells)) if cells[k] and not header[k]), None)
                if nameless is not None:
                    raise ValueError(
                        f"{str(file)!r}, row {n}: {cells[nameless]!r} is in column {nameless + 1}, which has no name"
                    )
                yield ["" if cell.casefold() in EMPTY else cell for cell in cells]
    except UnicodeError as error:
        raise ValueError(
            f"{str(file)!r} is not a CSV file in UTF-8: {error}; save the table as CSV in UTF-8"
        ) from None
    except csv.Error as error:
        raise ValueError(
            f"{str(file)!r}, row {n + 1}: {error}; a quoted cell must end with its quote, and a quote inside is doubled"
        ) from None


def opened(file: Path, content: bytes | None = None) -> io.BufferedReader | io.BytesIO:
    """Return a file that is open for reading: that of `content`, if it is in memory."""
    return file.open("rb") if content is None else io.BytesIO(content)


def separator_of(header: str) -> str:
    """Return the separator that cuts a header into most columns; a comma where there is one column.

    Python's csv.Sniffer prefers a comma inside a column's name to the semicolons between the names.
    """
    return max(SEPARATORS, key=lambda separator: len(next(csv.reader([header], delimiter=separator), [])))


def _check_header(file: Path, header: list[str]) -> None:
    if any("\0" in name for name in header):
        raise ValueError(f"{str(file)!r} is not a CSV file in UTF-8: it holds zero bytes")
    repeated = next((name for name in header if name and header.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"{str(file)!r} has two columns called {repeated!r}; expected one")
    for name in header:
        numbered = re.fullmatch(r"(.+)\.\d+", name)  # as pandas renames the second column of one name
        if numbered and numbered[1] in header and not name.startswith("Unnamed:"):
            raise ValueError(
                f"{str(file)!r} has two columns called {numbered[1]!r}, the second as {name!r}; expected one"
            )


class Errors:
    """What is wrong in the rows of a table, told at once: raise it in the end, or when there is enough of it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._found: list[str] = []

    def add(self, row: int, error: ValueError) -> None:
        """Note an error of one row, counted from 1. ValueError if there are `_MOST_ERRORS`."""
        self._found.append(f"row {row}: {error}")
        if len(self._found) == _MOST_ERRORS:
            self._found.append("and perhaps more")
            self.raise_if_any()

    def raise_if_any(self) -> None:
        """ValueError, which names the file and the rows, if there was an error."""
        if self._found:
            raise ValueError(f"{str(self._file)!r}, {'; '.join(self._found)}")
