"""Downloading one large file, resuming an interrupted download."""

import http.client
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from reid.common.errors import InputError

ATTEMPTS = 4       # in a row without a single new byte, before giving up
TIMEOUT = 30       # seconds without an answer
BLOCK = 1 << 20
LATER = 408, 429   # answers of a server that may be asked again, as 500 and more


class _Broken(Exception):
    """The server sent something other than the file's next bytes."""


# What a connection can fail with; a full disk, an OSError too, is none of these.
BROKEN = _Broken, urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError


def download(url: str, path: Path, size: int) -> None:
    """Download the file of `size` bytes at `url` to `path`; an incomplete one is kept as `<path>.part`.

    Raises InputError where the server refuses, is out of reach, or has a file of another size. The caller
    checks the checksum.
    """
    part = Path(f"{path}.part")
    part.touch()
    try:
        _fill(url, part, path.name, size)
        part.replace(path)
    finally:
        if part.exists() and not part.stat().st_size:
            part.unlink()


def _fill(url: str, part: Path, name: str, size: int) -> None:
    """Download the rest of the file into `part`, in as many connections as are needed."""
    failures = 0
    with tqdm(total=size, unit="B", unit_scale=True, desc=name, mininterval=1) as progress:
        while (have := part.stat().st_size) < size:
            progress.update(have - progress.n)
            try:
                _resume(url, part, have, size, progress)
                reason = "the connection was cut"
            except BROKEN as error:
                reason = _reason(error)
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in LATER:
                    raise InputError(f"{url}: {reason}; get {name} elsewhere and give it with --file"
                                     ) from None
            failures = 0 if part.stat().st_size > have else failures + 1
            if failures == ATTEMPTS:
                raise InputError(f"{url}: {reason}; {have} of {size} bytes are there and kept: try again "
                                 f"later with the same command, or get {name} elsewhere and give it "
                                 "with --file")
            time.sleep(failures)


def _reason(error: Exception) -> str:
    """What went wrong with a connection, in words."""
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was cut"
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError):
        return f"what answers does not speak HTTP ({str(error).strip()})"
    return str(getattr(error, "reason", error))


def _resume(url: str, part: Path, have: int, size: int, progress: tqdm) -> None:
    """Append what one connection brings to `part`, which has `have` bytes.

    It loses none of them but those that differ from what a server sends that begins again.
    """
    kept = f"The {have} bytes that were there are kept; the same command resumes"
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except (ValueError, http.client.InvalidURL) as error:     # one that it is sent on to is no address
        raise _Broken(f"leads to an address that cannot be opened ({error})") from None
    with response:
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise InputError(f"{url}: a web page came in place of the file, from {response.url}; is it a "
                             f"sign-in page of this network? {kept}")
        start, end, whole = _given(response, have)
        if start == 0 < have and whole is None:
            raise _Broken("the server sends all of it again, and not how much that is")
        if whole not in (None, size):
            raise InputError(f"{url}: holds {whole} bytes, expected {size}: it is another file now; "
                             f"get the right one elsewhere and give it with --file. {kept}")
        with open(part, "r+b") as file:
            file.seek(start)
            while (block := response.read1(BLOCK)) and (place := file.tell()) < (end or size):
                block = block[:(end or size) - place]
                if file.read(len(block)) != block:    # else it is there already
                    file.seek(place)
                    file.truncate()
                    file.write(block)
                progress.update(file.tell() - progress.n)


def _given(response: http.client.HTTPResponse, have: int) -> tuple[int, int | None, int | None]:
    """The first byte that a server sends, the end of them, and the bytes of its file; None: it does not say.

    _Broken where it sends others than those from `have` on. A server without ranges sends all of it again.
    """
    if response.status != 206:
        return 0, response.length, response.length
    given = response.headers["Content-Range"] or "bytes that it does not name"
    named = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", given.strip())
    start, last, whole = named.groups() if named else (-1, -1, "*")
    if not have == int(start) <= int(last) or response.length not in (None, int(last) + 1 - have):
        raise _Broken(f"asked for bytes from {have}, got {given}")
    return have, int(last) + 1, None if whole == "*" else int(whole)
