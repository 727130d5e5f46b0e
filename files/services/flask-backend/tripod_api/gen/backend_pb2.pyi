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

class Resolution(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESOLUTION_UNSPECIFIED: _ClassVar[Resolution]
    RESOLUTION_SECOND: _ClassVar[Resolution]
    RESOLUTION_TEN_SECONDS: _ClassVar[Resolution]
    RESOLUTION_FIVE_MINUTES: _ClassVar[Resolution]
VERDICT_UNSPECIFIED: Verdict
VERDICT_ABORTED: Verdict
VERDICT_DROP: Verdict
VERDICT_PASS: Verdict
VERDICT_TX: Verdict
VERDICT_REDIRECT: Verdict
RESOLUTION_UNSPECIFIED: Resolution
RESOLUTION_SECOND: Resolution
RESOLUTION_TEN_SECONDS: Resolution
RESOLUTION_FIVE_MINUTES: Resolution

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

class ListReadingsRequest(_message.Message):
    __slots__ = ("after", "wait_ms")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    after: str
    wait_ms: int
    def __init__(self, after: _Optional[str] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class ListReadingsResponse(_message.Message):
    __slots__ = ("readings", "lost")
    READINGS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    readings: _containers.RepeatedCompositeFieldContainer[Reading]
    lost: bool
    def __init__(self, readings: _Optional[_Iterable[_Union[Reading, _Mapping]]] = ..., lost: _Optional[bool] = ...) -> None: ...

class Reading(_message.Message):
    __slots__ = ("id", "stats")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    id: str
    stats: StatsResponse
    def __init__(self, id: _Optional[str] = ..., stats: _Optional[_Union[StatsResponse, _Mapping]] = ...) -> None: ...

class GetRatesRequest(_message.Message):
    __slots__ = ("resolution", "steps")
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    resolution: Resolution
    steps: int
    def __init__(self, resolution: _Optional[_Union[Resolution, str]] = ..., steps: _Optional[int] = ...) -> None: ...

class GetRatesResponse(_message.Message):
    __slots__ = ("begin", "step_seconds", "interfaces", "left_out")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    STEP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    begin: int
    step_seconds: int
    interfaces: _containers.RepeatedCompositeFieldContainer[InterfaceRates]
    left_out: int
    def __init__(self, begin: _Optional[int] = ..., step_seconds: _Optional[int] = ..., interfaces: _Optional[_Iterable[_Union[InterfaceRates, _Mapping]]] = ..., left_out: _Optional[int] = ...) -> None: ...

class InterfaceRates(_message.Message):
    __slots__ = ("name", "known_ms", "rates")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KNOWN_MS_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    name: str
    known_ms: _containers.RepeatedScalarFieldContainer[int]
    rates: _containers.RepeatedCompositeFieldContainer[Rates]
    def __init__(self, name: _Optional[str] = ..., known_ms: _Optional[_Iterable[int]] = ..., rates: _Optional[_Iterable[_Union[Rates, _Mapping]]] = ...) -> None: ...

class Rates(_message.Message):
    __slots__ = ("verdict", "reason", "packets", "bytes")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    reason: str
    packets: _containers.RepeatedScalarFieldContainer[int]
    bytes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., reason: _Optional[str] = ..., packets: _Optional[_Iterable[int]] = ..., bytes: _Optional[_Iterable[int]] = ...) -> None: ...
