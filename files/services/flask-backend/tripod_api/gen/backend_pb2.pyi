import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_ABORTED: _ClassVar[Verdict]
    VERDICT_DROP: _ClassVar[Verdict]
    VERDICT_PASS: _ClassVar[Verdict]
    VERDICT_TX: _ClassVar[Verdict]
    VERDICT_REDIRECT: _ClassVar[Verdict]
VERDICT_UNSPECIFIED: Verdict
VERDICT_ABORTED: Verdict
VERDICT_DROP: Verdict
VERDICT_PASS: Verdict
VERDICT_TX: Verdict
VERDICT_REDIRECT: Verdict

class DataRequest(_message.Message):
    __slots__ = ("data", "interface")
    DATA_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    interface: str
    def __init__(self, data: _Optional[bytes] = ..., interface: _Optional[str] = ...) -> None: ...

class DataResponse(_message.Message):
    __slots__ = ("interface", "verdict", "reason", "rule", "program", "duration_ns", "would", "would_reason", "path", "extended")
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    DURATION_NS_FIELD_NUMBER: _ClassVar[int]
    WOULD_FIELD_NUMBER: _ClassVar[int]
    WOULD_REASON_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    EXTENDED_FIELD_NUMBER: _ClassVar[int]
    interface: str
    verdict: Verdict
    reason: str
    rule: Rule
    program: Program
    duration_ns: int
    would: Verdict
    would_reason: str
    path: _containers.RepeatedCompositeFieldContainer[Step]
    extended: bool
    def __init__(self, interface: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., reason: _Optional[str] = ..., rule: _Optional[_Union[Rule, _Mapping]] = ..., program: _Optional[_Union[Program, _Mapping]] = ..., duration_ns: _Optional[int] = ..., would: _Optional[_Union[Verdict, str]] = ..., would_reason: _Optional[str] = ..., path: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., extended: _Optional[bool] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("part", "id", "says", "observed")
    PART_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SAYS_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    part: str
    id: str
    says: str
    observed: bool
    def __init__(self, part: _Optional[str] = ..., id: _Optional[str] = ..., says: _Optional[str] = ..., observed: _Optional[bool] = ...) -> None: ...

class Rule(_message.Message):
    __slots__ = ("prefix", "action", "owner")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    action: str
    owner: str
    def __init__(self, prefix: _Optional[str] = ..., action: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class Program(_message.Message):
    __slots__ = ("id", "name", "tag", "mode")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    tag: str
    mode: str
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., tag: _Optional[str] = ..., mode: _Optional[str] = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ("parts",)
    PARTS_FIELD_NUMBER: _ClassVar[int]
    parts: bool
    def __init__(self, parts: _Optional[bool] = ...) -> None: ...

class StatsResponse(_message.Message):
    __slots__ = ("timestamp", "interfaces", "problems")
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    timestamp: _timestamp_pb2.Timestamp
    interfaces: _containers.RepeatedCompositeFieldContainer[InterfaceStats]
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., interfaces: _Optional[_Iterable[_Union[InterfaceStats, _Mapping]]] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("interface", "state", "problem")
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    interface: str
    state: str
    problem: str
    def __init__(self, interface: _Optional[str] = ..., state: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class InterfaceStats(_message.Message):
    __slots__ = ("name", "mode", "program", "counters", "parts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    mode: str
    program: Program
    counters: _containers.RepeatedCompositeFieldContainer[Counter]
    parts: _containers.RepeatedCompositeFieldContainer[PartCounter]
    def __init__(self, name: _Optional[str] = ..., mode: _Optional[str] = ..., program: _Optional[_Union[Program, _Mapping]] = ..., counters: _Optional[_Iterable[_Union[Counter, _Mapping]]] = ..., parts: _Optional[_Iterable[_Union[PartCounter, _Mapping]]] = ...) -> None: ...

class Counter(_message.Message):
    __slots__ = ("verdict", "reason", "packets", "bytes")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    reason: str
    packets: int
    bytes: int
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., reason: _Optional[str] = ..., packets: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class PartCounter(_message.Message):
    __slots__ = ("part", "id", "packets", "bytes", "observed_packets", "observed_bytes", "last")
    PART_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_PACKETS_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    part: str
    id: str
    packets: int
    bytes: int
    observed_packets: int
    observed_bytes: int
    last: _timestamp_pb2.Timestamp
    def __init__(self, part: _Optional[str] = ..., id: _Optional[str] = ..., packets: _Optional[int] = ..., bytes: _Optional[int] = ..., observed_packets: _Optional[int] = ..., observed_bytes: _Optional[int] = ..., last: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
