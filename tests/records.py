"""Not a test: records rewritten as the program that wrote them would have, their own checksum included."""

import json

from reid.formats.json_record import signed


def edit(file, change):
    """Call `change` with the content of a record, and write the record again with a checksum that fits."""
    content = json.loads(file.read_text())
    content.pop("checksum", None)
    change(content)
    file.write_text(json.dumps(signed(content)))


def unsigned(file):
    """Write a record again as versions did that knew no checksum of its own."""
    content = json.loads(file.read_text())
    del content["checksum"]
    file.write_text(json.dumps(content))
