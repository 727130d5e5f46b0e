package control

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/capture"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/workers"
)

// Intervals of statistics that are watched.
const (
	defaultInterval = time.Second
	minInterval     = 100 * time.Millisecond
	maxInterval     = time.Minute
)

// DataPlaneServer answers tripod.v1.DataPlaneService.
type DataPlaneServer struct {
	tripodv1.UnimplementedDataPlaneServiceServer

	manager *workers.Manager
	log     *slog.Logger
}

// NewDataPlaneServer returns a server of the manager's workers.
func NewDataPlaneServer(manager *workers.Manager, log *slog.Logger) *DataPlaneServer {
	return &DataPlaneServer{manager: manager, log: log}
}

// ListWorkers returns all workers.
func (s *DataPlaneServer) ListWorkers(
	context.Context, *tripodv1.ListWorkersRequest,
) (*tripodv1.ListWorkersResponse, error) {
	return &tripodv1.ListWorkersResponse{Workers: s.list()}, nil
}

func (s *DataPlaneServer) list() []*tripodv1.Worker {
	var all []*tripodv1.Worker
	for _, one := range s.manager.List() {
		all = append(all, workerOf(one))
	}
	return all
}

// StartWorker starts a worker that was stopped.
func (s *DataPlaneServer) StartWorker(
	ctx context.Context, request *tripodv1.StartWorkerRequest,
) (*tripodv1.StartWorkerResponse, error) {
	one, err := s.after(request.GetName(), s.manager.Start(ctx, request.GetName()))
	if err != nil {
		return nil, s.fail(ctx, "StartWorker", err)
	}
	return &tripodv1.StartWorkerResponse{Worker: one}, nil
}

// StopWorker lets a worker's packets go to the network stack.
func (s *DataPlaneServer) StopWorker(
	ctx context.Context, request *tripodv1.StopWorkerRequest,
) (*tripodv1.StopWorkerResponse, error) {
	one, err := s.after(request.GetName(), s.manager.Stop(request.GetName()))
	if err != nil {
		return nil, s.fail(ctx, "StopWorker", err)
	}
	return &tripodv1.StopWorkerResponse{Worker: one}, nil
}

// MoveWorker lets a worker run on other CPUs.
func (s *DataPlaneServer) MoveWorker(
	ctx context.Context, request *tripodv1.MoveWorkerRequest,
) (*tripodv1.MoveWorkerResponse, error) {
	cpus := make([]int, len(request.GetCpus()))
	for i, cpu := range request.GetCpus() {
		cpus[i] = int(cpu)
	}
	one, err := s.after(request.GetName(), s.manager.Move(request.GetName(), cpus))
	if err != nil {
		return nil, s.fail(ctx, "MoveWorker", err)
	}
	return &tripodv1.MoveWorkerResponse{Worker: one}, nil
}

// ReloadWorkers reads the file of workers again.
func (s *DataPlaneServer) ReloadWorkers(
	ctx context.Context, _ *tripodv1.ReloadWorkersRequest,
) (*tripodv1.ReloadWorkersResponse, error) {
	if err := s.manager.Reload(ctx); err != nil {
		return nil, s.fail(ctx, "ReloadWorkers", err)
	}
	return &tripodv1.ReloadWorkersResponse{Workers: s.list()}, nil
}

// after returns a worker as it is after a change.
func (s *DataPlaneServer) after(name string, err error) (*tripodv1.Worker, error) {
	if err != nil {
		return nil, err
	}
	one, err := s.manager.Get(name)
	if err != nil {
		return nil, err
	}
	return workerOf(one), nil
}

// GetWorkerStats returns what became of packets.
func (s *DataPlaneServer) GetWorkerStats(
	ctx context.Context, request *tripodv1.GetWorkerStatsRequest,
) (*tripodv1.GetWorkerStatsResponse, error) {
	response, err := s.stats(request.GetName())
	if err != nil {
		return nil, s.fail(ctx, "GetWorkerStats", err)
	}
	return response, nil
}

// WatchWorkerStats returns it again and again.
func (s *DataPlaneServer) WatchWorkerStats(
	request *tripodv1.WatchWorkerStatsRequest, stream grpc.ServerStreamingServer[tripodv1.GetWorkerStatsResponse],
) error {
	interval := time.Duration(request.GetIntervalMs()) * time.Millisecond
	if interval == 0 {
		interval = defaultInterval
	}
	if interval < minInterval || interval > maxInterval {
		return status.Errorf(codes.InvalidArgument, "interval_ms %d: %d to %d are possible", request.GetIntervalMs(),
			minInterval.Milliseconds(), maxInterval.Milliseconds())
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		response, err := s.stats(request.GetName())
		if err != nil {
			return s.fail(stream.Context(), "WatchWorkerStats", err)
		}
		if err := stream.Send(response); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-ticker.C:
		}
	}
}

func (s *DataPlaneServer) stats(name string) (*tripodv1.GetWorkerStatsResponse, error) {
	response := &tripodv1.GetWorkerStatsResponse{Timestamp: timestamppb.New(time.Now())}
	found, err := s.manager.Stats(name)
	if err != nil {
		return nil, err
	}
	for _, one := range found {
		response.Queues = append(response.Queues, queueStats(one))
	}
	return response, nil
}

// pieces sends what is written as pieces of a file.
type pieces struct {
	to grpc.ServerStreamingServer[tripodv1.CaptureResponse]
}

func (p pieces) Write(data []byte) (int, error) {
	if err := p.to.Send(&tripodv1.CaptureResponse{Data: data}); err != nil {
		return 0, err
	}
	return len(data), nil
}

// Capture streams packets.
func (s *DataPlaneServer) Capture(
	request *tripodv1.CaptureRequest, stream grpc.ServerStreamingServer[tripodv1.CaptureResponse],
) error {
	result, err := s.manager.Capture(stream.Context(), request.GetName(), capture.Config{
		Filter: request.GetFilter(), Packets: request.GetMaxPackets(), Bytes: request.GetMaxBytes(),
		Duration: time.Duration(request.GetMaxSeconds()) * time.Second, Most: int(request.GetSnapLength()),
	}, pieces{stream})
	if err := stream.Context().Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	if err != nil {
		return s.fail(stream.Context(), "Capture", err)
	}
	return stream.Send(&tripodv1.CaptureResponse{
		Packets: result.Packets, Seen: result.Seen, Missed: result.Missed, Ended: result.Ended,
	})
}

// ListBackends returns the backends of workers that balance.
func (s *DataPlaneServer) ListBackends(
	ctx context.Context, request *tripodv1.ListBackendsRequest,
) (*tripodv1.ListBackendsResponse, error) {
	found, err := s.manager.Backends(request.GetName())
	if err != nil {
		return nil, s.fail(ctx, "ListBackends", err)
	}
	response := &tripodv1.ListBackendsResponse{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		for _, one := range found[name] {
			response.Backends = append(response.Backends, &tripodv1.Backend{
				Worker: name, Name: one.Name, Address: one.Address.String(), Alive: one.Alive, Reason: one.Fault, Share: one.Share,
				Since: timestamppb.New(one.Since), Weight: uint32(one.Weight), Packets: one.Packets,
			})
		}
	}
	return response, nil
}

// fail turns an error into a status, with each reason on a line of its own.
func (s *DataPlaneServer) fail(ctx context.Context, method string, err error) error {
	code := codes.FailedPrecondition
	switch {
	case errors.Is(err, workers.ErrUnknown):
		code = codes.NotFound
	case errors.Is(err, workers.ErrInvalid):
		code = codes.InvalidArgument
	default:
		s.log.WarnContext(ctx, "request failed", "method", method, "code", code.String(), "error", err)
	}
	return status.Error(code, strings.ToValidUTF8(err.Error(), "\uFFFD"))
}

func workerOf(one workers.Status) *tripodv1.Worker {
	made := &tripodv1.Worker{
		Name: one.Name, Nic: one.NIC, State: string(one.State), Reason: strings.ToValidUTF8(one.Reason, "\uFFFD"), Handler: one.Handler,
		Memory: one.Memory, MemoryFallback: one.Fallback,
	}
	for _, queue := range one.Queues {
		made.Queues = append(made.Queues, &tripodv1.WorkerQueue{
			Queue: uint32(queue.Queue), Cpu: uint32(queue.CPU), Mode: queue.Mode.String(), Stalled: queue.Stalled,
		})
	}
	return made
}

func queueStats(one workers.QueueStats) *tripodv1.QueueStats {
	made := &tripodv1.QueueStats{
		Worker: one.Worker, Nic: one.NIC, Queue: uint32(one.Queue), Retries: one.Retries, BusyNs: uint64(one.Busy.Nanoseconds()),
		Kernel: &tripodv1.KernelStats{
			Dropped: one.Kernel.Dropped, RingFull: one.Kernel.RingFull, FillEmpty: one.Kernel.FillEmpty,
			InvalidFill: one.Kernel.InvalidFill, InvalidTx: one.Kernel.InvalidTx,
		},
	}
	for _, counts := range one.Handlers {
		made.Handlers = append(made.Handlers, handlerStats(counts))
	}
	if live := one.Live; live != nil {
		made.FillLevel, made.RxLevel = uint32(live.Levels.Fill), uint32(live.Levels.Rx)
		made.TxLevel, made.CompletionLevel = uint32(live.Levels.Tx), uint32(live.Levels.Completion)
		made.Frames, made.FreeFrames = uint32(live.Frames), uint32(live.Free)
	}
	return made
}

func handlerStats(counts worker.Counts) *tripodv1.HandlerStats {
	made := &tripodv1.HandlerStats{
		Handler: counts.Handler, Packets: counts.Packets, Bytes: counts.Bytes, Consumed: counts.Consumed, Sent: counts.Sent,
		Forwarded: counts.Forwarded, Dropped: make(map[string]uint64),
	}
	for reason, n := range counts.Dropped {
		if n > 0 {
			made.Dropped[reason] = n
		}
	}
	return made
}
