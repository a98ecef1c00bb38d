"""Reading protobuf messages whole: protobuf itself warns of bytes that are left over, and takes the rest."""

import warnings

from google.protobuf.message import DecodeError, Message


def parse(message: Message, content: bytes) -> Message:
    """`message`, filled from bytes that are one message of its kind; DecodeError where they are not."""
    with warnings.catch_warnings(action="ignore"):    # of bytes left over, which the comparison notices
        if message.ParseFromString(content) < len(content):
            raise DecodeError
    return message
