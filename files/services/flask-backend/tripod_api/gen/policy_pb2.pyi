import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListPoliciesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("policies", "bans")
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    BANS_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[PolicyState]
    bans: int
    def __init__(self, policies: _Optional[_Iterable[_Union[PolicyState, _Mapping]]] = ..., bans: _Optional[int] = ...) -> None: ...

class PolicyState(_message.Message):
    __slots__ = ("name", "digest", "interfaces", "revision", "pending")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    interfaces: _containers.RepeatedScalarFieldContainer[str]
    revision: int
    pending: Pending
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., interfaces: _Optional[_Iterable[str]] = ..., revision: _Optional[int] = ..., pending: _Optional[_Union[Pending, _Mapping]] = ...) -> None: ...

class Pending(_message.Message):
    __slots__ = ("revision", "deadline", "by")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    revision: int
    deadline: _timestamp_pb2.Timestamp
    by: str
    def __init__(self, revision: _Optional[int] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., by: _Optional[str] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: str
    def __init__(self, policy: _Optional[str] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("state", "document", "own")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    OWN_FIELD_NUMBER: _ClassVar[int]
    state: PolicyState
    document: str
    own: str
    def __init__(self, state: _Optional[_Union[PolicyState, _Mapping]] = ..., document: _Optional[str] = ..., own: _Optional[str] = ...) -> None: ...

class PutPolicyRequest(_message.Message):
    __slots__ = ("policy", "document", "expected", "confirm_seconds", "dry_run", "by", "name", "why")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    policy: str
    document: str
    expected: int
    confirm_seconds: int
    dry_run: bool
    by: str
    name: str
    why: str
    def __init__(self, policy: _Optional[str] = ..., document: _Optional[str] = ..., expected: _Optional[int] = ..., confirm_seconds: _Optional[int] = ..., dry_run: _Optional[bool] = ..., by: _Optional[str] = ..., name: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class PutPolicyResponse(_message.Message):
    __slots__ = ("changed", "revision", "pending", "summary", "flips", "warnings")
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    FLIPS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    revision: int
    pending: Pending
    summary: _containers.RepeatedScalarFieldContainer[str]
    flips: _containers.RepeatedCompositeFieldContainer[Flip]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changed: _Optional[bool] = ..., revision: _Optional[int] = ..., pending: _Optional[_Union[Pending, _Mapping]] = ..., summary: _Optional[_Iterable[str]] = ..., flips: _Optional[_Iterable[_Union[Flip, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class Flip(_message.Message):
    __slots__ = ("frame", "before", "after")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    frame: str
    before: str
    after: str
    def __init__(self, frame: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class ConfirmRequest(_message.Message):
    __slots__ = ("policy", "revision", "by")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    policy: str
    revision: int
    by: str
    def __init__(self, policy: _Optional[str] = ..., revision: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class ConfirmResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class RevertRequest(_message.Message):
    __slots__ = ("policy", "revision", "confirm_seconds", "by", "expected")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    policy: str
    revision: int
    confirm_seconds: int
    by: str
    expected: int
    def __init__(self, policy: _Optional[str] = ..., revision: _Optional[int] = ..., confirm_seconds: _Optional[int] = ..., by: _Optional[str] = ..., expected: _Optional[int] = ...) -> None: ...

class HistoryRequest(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: str
    def __init__(self, policy: _Optional[str] = ...) -> None: ...

class HistoryResponse(_message.Message):
    __slots__ = ("revisions",)
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    revisions: _containers.RepeatedCompositeFieldContainer[Revision]
    def __init__(self, revisions: _Optional[_Iterable[_Union[Revision, _Mapping]]] = ...) -> None: ...

class Revision(_message.Message):
    __slots__ = ("revision", "time", "owner", "by", "digest", "summary", "state", "name", "why")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    revision: int
    time: _timestamp_pb2.Timestamp
    owner: str
    by: str
    digest: str
    summary: _containers.RepeatedScalarFieldContainer[str]
    state: str
    name: str
    why: str
    def __init__(self, revision: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., owner: _Optional[str] = ..., by: _Optional[str] = ..., digest: _Optional[str] = ..., summary: _Optional[_Iterable[str]] = ..., state: _Optional[str] = ..., name: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class BanRequest(_message.Message):
    __slots__ = ("address", "seconds", "comment", "by")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    address: str
    seconds: int
    comment: str
    by: str
    def __init__(self, address: _Optional[str] = ..., seconds: _Optional[int] = ..., comment: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class BanResponse(_message.Message):
    __slots__ = ("ban",)
    BAN_FIELD_NUMBER: _ClassVar[int]
    ban: Banned
    def __init__(self, ban: _Optional[_Union[Banned, _Mapping]] = ...) -> None: ...

class UnbanRequest(_message.Message):
    __slots__ = ("address", "by")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    address: str
    by: str
    def __init__(self, address: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class UnbanResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListBansRequest(_message.Message):
    __slots__ = ("limit", "after")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    limit: int
    after: str
    def __init__(self, limit: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

class ListBansResponse(_message.Message):
    __slots__ = ("bans", "total")
    BANS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    bans: _containers.RepeatedCompositeFieldContainer[Banned]
    total: int
    def __init__(self, bans: _Optional[_Iterable[_Union[Banned, _Mapping]]] = ..., total: _Optional[int] = ...) -> None: ...

class Banned(_message.Message):
    __slots__ = ("address", "until", "owner", "by", "comment", "packets")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    address: str
    until: _timestamp_pb2.Timestamp
    owner: str
    by: str
    comment: str
    packets: int
    def __init__(self, address: _Optional[str] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., owner: _Optional[str] = ..., by: _Optional[str] = ..., comment: _Optional[str] = ..., packets: _Optional[int] = ...) -> None: ...

class ListSamplesRequest(_message.Message):
    __slots__ = ("limit", "interface", "reason", "part")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    limit: int
    interface: str
    reason: str
    part: str
    def __init__(self, limit: _Optional[int] = ..., interface: _Optional[str] = ..., reason: _Optional[str] = ..., part: _Optional[str] = ...) -> None: ...

class ListSamplesResponse(_message.Message):
    __slots__ = ("samples",)
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    samples: _containers.RepeatedCompositeFieldContainer[Sample]
    def __init__(self, samples: _Optional[_Iterable[_Union[Sample, _Mapping]]] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("time", "interface", "queue", "verdict", "reason", "part", "would", "would_reason", "would_part", "length", "frame", "source", "destination", "protocol", "source_port", "destination_port", "vlan")
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
    FRAME_FIELD_NUMBER: _ClassVar[int]
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
    frame: bytes
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    vlan: int
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., interface: _Optional[str] = ..., queue: _Optional[int] = ..., verdict: _Optional[str] = ..., reason: _Optional[str] = ..., part: _Optional[str] = ..., would: _Optional[str] = ..., would_reason: _Optional[str] = ..., would_part: _Optional[str] = ..., length: _Optional[int] = ..., frame: _Optional[bytes] = ..., source: _Optional[str] = ..., destination: _Optional[str] = ..., protocol: _Optional[int] = ..., source_port: _Optional[int] = ..., destination_port: _Optional[int] = ..., vlan: _Optional[int] = ...) -> None: ...
