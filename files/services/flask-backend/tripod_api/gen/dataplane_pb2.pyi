import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListWorkersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    def __init__(self, workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("name", "nic", "state", "reason", "handler", "queues", "memory", "memory_fallback")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NIC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FALLBACK_FIELD_NUMBER: _ClassVar[int]
    name: str
    nic: str
    state: str
    reason: str
    handler: str
    queues: _containers.RepeatedCompositeFieldContainer[WorkerQueue]
    memory: str
    memory_fallback: str
    def __init__(self, name: _Optional[str] = ..., nic: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., handler: _Optional[str] = ..., queues: _Optional[_Iterable[_Union[WorkerQueue, _Mapping]]] = ..., memory: _Optional[str] = ..., memory_fallback: _Optional[str] = ...) -> None: ...

class WorkerQueue(_message.Message):
    __slots__ = ("queue", "cpu", "mode", "stalled")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    STALLED_FIELD_NUMBER: _ClassVar[int]
    queue: int
    cpu: int
    mode: str
    stalled: bool
    def __init__(self, queue: _Optional[int] = ..., cpu: _Optional[int] = ..., mode: _Optional[str] = ..., stalled: _Optional[bool] = ...) -> None: ...

class StartWorkerRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class StartWorkerResponse(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: Worker
    def __init__(self, worker: _Optional[_Union[Worker, _Mapping]] = ...) -> None: ...

class StopWorkerRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class StopWorkerResponse(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: Worker
    def __init__(self, worker: _Optional[_Union[Worker, _Mapping]] = ...) -> None: ...

class MoveWorkerRequest(_message.Message):
    __slots__ = ("name", "cpus")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    name: str
    cpus: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., cpus: _Optional[_Iterable[int]] = ...) -> None: ...

class MoveWorkerResponse(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: Worker
    def __init__(self, worker: _Optional[_Union[Worker, _Mapping]] = ...) -> None: ...

class ReloadWorkersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadWorkersResponse(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    def __init__(self, workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ...) -> None: ...

class GetWorkerStatsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WatchWorkerStatsRequest(_message.Message):
    __slots__ = ("name", "interval_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    interval_ms: int
    def __init__(self, name: _Optional[str] = ..., interval_ms: _Optional[int] = ...) -> None: ...

class GetWorkerStatsResponse(_message.Message):
    __slots__ = ("timestamp", "queues")
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    timestamp: _timestamp_pb2.Timestamp
    queues: _containers.RepeatedCompositeFieldContainer[QueueStats]
    def __init__(self, timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., queues: _Optional[_Iterable[_Union[QueueStats, _Mapping]]] = ...) -> None: ...

class QueueStats(_message.Message):
    __slots__ = ("worker", "nic", "queue", "handlers", "kernel", "fill_level", "rx_level", "tx_level", "completion_level", "frames", "free_frames", "retries", "busy_ns")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    NIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    HANDLERS_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    FILL_LEVEL_FIELD_NUMBER: _ClassVar[int]
    RX_LEVEL_FIELD_NUMBER: _ClassVar[int]
    TX_LEVEL_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_LEVEL_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    FREE_FRAMES_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    BUSY_NS_FIELD_NUMBER: _ClassVar[int]
    worker: str
    nic: str
    queue: int
    handlers: _containers.RepeatedCompositeFieldContainer[HandlerStats]
    kernel: KernelStats
    fill_level: int
    rx_level: int
    tx_level: int
    completion_level: int
    frames: int
    free_frames: int
    retries: int
    busy_ns: int
    def __init__(self, worker: _Optional[str] = ..., nic: _Optional[str] = ..., queue: _Optional[int] = ..., handlers: _Optional[_Iterable[_Union[HandlerStats, _Mapping]]] = ..., kernel: _Optional[_Union[KernelStats, _Mapping]] = ..., fill_level: _Optional[int] = ..., rx_level: _Optional[int] = ..., tx_level: _Optional[int] = ..., completion_level: _Optional[int] = ..., frames: _Optional[int] = ..., free_frames: _Optional[int] = ..., retries: _Optional[int] = ..., busy_ns: _Optional[int] = ...) -> None: ...

class HandlerStats(_message.Message):
    __slots__ = ("handler", "packets", "bytes", "consumed", "sent", "forwarded", "dropped")
    class DroppedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    FORWARDED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    handler: str
    packets: int
    bytes: int
    consumed: int
    sent: int
    forwarded: int
    dropped: _containers.ScalarMap[str, int]
    def __init__(self, handler: _Optional[str] = ..., packets: _Optional[int] = ..., bytes: _Optional[int] = ..., consumed: _Optional[int] = ..., sent: _Optional[int] = ..., forwarded: _Optional[int] = ..., dropped: _Optional[_Mapping[str, int]] = ...) -> None: ...

class KernelStats(_message.Message):
    __slots__ = ("dropped", "ring_full", "fill_empty", "invalid_fill", "invalid_tx")
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    RING_FULL_FIELD_NUMBER: _ClassVar[int]
    FILL_EMPTY_FIELD_NUMBER: _ClassVar[int]
    INVALID_FILL_FIELD_NUMBER: _ClassVar[int]
    INVALID_TX_FIELD_NUMBER: _ClassVar[int]
    dropped: int
    ring_full: int
    fill_empty: int
    invalid_fill: int
    invalid_tx: int
    def __init__(self, dropped: _Optional[int] = ..., ring_full: _Optional[int] = ..., fill_empty: _Optional[int] = ..., invalid_fill: _Optional[int] = ..., invalid_tx: _Optional[int] = ...) -> None: ...

class CaptureRequest(_message.Message):
    __slots__ = ("name", "filter", "max_packets", "max_bytes", "max_seconds", "snap_length")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MAX_PACKETS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SNAP_LENGTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    filter: str
    max_packets: int
    max_bytes: int
    max_seconds: int
    snap_length: int
    def __init__(self, name: _Optional[str] = ..., filter: _Optional[str] = ..., max_packets: _Optional[int] = ..., max_bytes: _Optional[int] = ..., max_seconds: _Optional[int] = ..., snap_length: _Optional[int] = ...) -> None: ...

class CaptureResponse(_message.Message):
    __slots__ = ("data", "packets", "seen", "missed", "ended")
    DATA_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    packets: int
    seen: int
    missed: int
    ended: str
    def __init__(self, data: _Optional[bytes] = ..., packets: _Optional[int] = ..., seen: _Optional[int] = ..., missed: _Optional[int] = ..., ended: _Optional[str] = ...) -> None: ...

class ListBackendsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListBackendsResponse(_message.Message):
    __slots__ = ("backends",)
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    backends: _containers.RepeatedCompositeFieldContainer[Backend]
    def __init__(self, backends: _Optional[_Iterable[_Union[Backend, _Mapping]]] = ...) -> None: ...

class Backend(_message.Message):
    __slots__ = ("worker", "name", "address", "alive", "reason", "share", "since", "weight", "packets")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    worker: str
    name: str
    address: str
    alive: bool
    reason: str
    share: float
    since: _timestamp_pb2.Timestamp
    weight: int
    packets: int
    def __init__(self, worker: _Optional[str] = ..., name: _Optional[str] = ..., address: _Optional[str] = ..., alive: _Optional[bool] = ..., reason: _Optional[str] = ..., share: _Optional[float] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., weight: _Optional[int] = ..., packets: _Optional[int] = ...) -> None: ...
