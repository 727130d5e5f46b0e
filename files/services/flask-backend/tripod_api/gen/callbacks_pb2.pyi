import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

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

class DroppedRequest(_message.Message):
    __slots__ = ("packets", "lost")
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    packets: _containers.RepeatedCompositeFieldContainer[DroppedPacket]
    lost: int
    def __init__(self, packets: _Optional[_Iterable[_Union[DroppedPacket, _Mapping]]] = ..., lost: _Optional[int] = ...) -> None: ...

class DroppedResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DroppedPacket(_message.Message):
    __slots__ = ("time", "interface", "queue", "verdict", "reason", "part", "would", "would_reason", "would_part", "length", "source", "destination", "protocol", "source_port", "destination_port", "vlan")
    TIME_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    WOULD_FIELD_NUMBER: _ClassVar[int]
    WOULD_REASON_FIELD_NUMBER: _ClassVar[int]
    WOULD_PART_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PORT_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_PORT_FIELD_NUMBER: _ClassVar[int]
    VLAN_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    interface: str
    queue: int
    verdict: str
    reason: str
    part: str
    would: str
    would_reason: str
    would_part: str
    length: int
    source: bytes
    destination: bytes
    protocol: int
    source_port: int
    destination_port: int
    vlan: int
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., interface: _Optional[str] = ..., queue: _Optional[int] = ..., verdict: _Optional[str] = ..., reason: _Optional[str] = ..., part: _Optional[str] = ..., would: _Optional[str] = ..., would_reason: _Optional[str] = ..., would_part: _Optional[str] = ..., length: _Optional[int] = ..., source: _Optional[bytes] = ..., destination: _Optional[bytes] = ..., protocol: _Optional[int] = ..., source_port: _Optional[int] = ..., destination_port: _Optional[int] = ..., vlan: _Optional[int] = ...) -> None: ...
