"""Downloading one large file, resuming an interrupted download."""

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from reid.common.errors import InputError

ATTEMPTS = 4       # in a row without a single new byte, before giving up
TIMEOUT = 30       # seconds without an answer
BLOCK = 1 << 20


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
                reason = getattr(error, "reason", error)
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    raise InputError(f"{url}: the server answers {error.code} {reason}; get {name} "
                                     "elsewhere and give it with --file") from None
            failures = 0 if part.stat().st_size > have else failures + 1
            if failures == ATTEMPTS:
                raise InputError(f"{url}: {reason}; {have} of {size} bytes are there and kept: try again "
                                 f"later with the same command, or get {name} elsewhere and give it "
                                 "with --file")
            time.sleep(failures)


def _resume(url: str, part: Path, have: int, size: int, progress: tqdm) -> None:
    """Append what one connection brings to `part`, which has `have` bytes and never loses them."""
    kept = f"The {have} bytes that were there are kept; the same command resumes"
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except ValueError as error:     # an address that is none, such as one that it is sent on to
        raise _Broken(f"leads to an address that cannot be opened ({error})") from None
    with response:
        if response.headers.get_content_type() == "text/html":
            raise InputError(f"{url}: a web page came in place of the file, from {response.url}; is it a "
                             f"sign-in page of this network? {kept}")
        if response.status == 206:
            given = response.headers["Content-Range"] or "bytes that it does not name"
            if not given.startswith(f"bytes {have}-"):
                raise _Broken(f"asked for bytes from {have}, got {given}")
        start = have if response.status == 206 else 0       # a server without ranges sends all of it again
        length = response.length
        if length is None and start < have:
            raise _Broken("the server sends all of it again, and not how much that is")
        if length is not None and start + length != size:
            raise InputError(f"{url}: holds {start + length} bytes, expected {size}: it is another file now; "
                             f"get the right one elsewhere and give it with --file. {kept}")
        with open(part, "r+b") as file:
            file.truncate(start)
            file.seek(start)
            while (block := response.read(BLOCK)) and file.tell() < size:
                file.write(block[:size - file.tell()])
                progress.update(file.tell() - progress.n)
