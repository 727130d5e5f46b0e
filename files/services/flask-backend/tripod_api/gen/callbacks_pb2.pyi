from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class StartedRequest(_message.Message):
    __slots__ = ("boot_id", "version")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    boot_id: str
    version: str
    def __init__(self, boot_id: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class StartedResponse(_message.Message):
    __slots__ = ("given_back",)
    GIVEN_BACK_FIELD_NUMBER: _ClassVar[int]
    given_back: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, given_back: _Optional[_Iterable[str]] = ...) -> None: ...
