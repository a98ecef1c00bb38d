"""Downloading one large file, going on where an earlier attempt was cut off."""

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from reid.common.errors import InputError

ATTEMPTS = 4       # in a row that brought nothing
TIMEOUT = 30       # seconds of silence
BLOCK = 1 << 20


class _Broken(Exception):
    """The server answered with something else than the file's next bytes."""


# What a connection can fail with; a full disk, an OSError too, is none of these.
BROKEN = _Broken, urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError


def download(url, path, size):
    """Bring the file of `size` bytes at `url` to `path`, by way of `<path>.part`, kept where it stops short.

    Raises InputError where the server refuses, is out of reach, or has a file of another size. The checksum
    is the caller's to look at.
    """
    part = Path(f"{path}.part")
    part.touch()
    failures = 0
    with tqdm(total=size, unit="B", unit_scale=True, desc=path.name, mininterval=1) as progress:
        while (have := part.stat().st_size) < size:
            progress.update(have - progress.n)
            try:
                _go_on(url, part, have, size, progress)
                reason = "the connection was cut"
            except BROKEN as error:
                reason = getattr(error, "reason", error)
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    raise InputError(f"{url}: the server answers {error.code} {reason}; get {path.name} "
                                     "elsewhere and give it with --file") from None
            failures = 0 if part.stat().st_size > have else failures + 1
            if failures == ATTEMPTS:
                raise InputError(f"{url}: {reason}; {have} of {size} bytes are there and kept: try again "
                                 f"later with the same command, or get {path.name} elsewhere and give it "
                                 "with --file")
            time.sleep(failures)
    part.replace(path)


def _go_on(url, part, have, size, progress):
    """Append what one connection brings to `part`, which has `have` bytes."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        if response.status == 206 and not response.headers["Content-Range"].startswith(f"bytes {have}-"):
            raise _Broken(f"asked for bytes from {have}, got {response.headers['Content-Range']}")
        start = have if response.status == 206 else 0       # a server without ranges sends all of it again
        length = response.length
        if length is not None and start + length != size:
            part.unlink()
            raise InputError(f"{url}: holds {start + length} bytes, expected {size}: it is another file now; "
                             "get the right one elsewhere and give it with --file")
        with open(part, "r+b") as file:
            file.truncate(start)
            file.seek(start)
            while (block := response.read(BLOCK)) and file.tell() < size:
                file.write(block[:size - file.tell()])
                progress.update(file.tell() - progress.n)
