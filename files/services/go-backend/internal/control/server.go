// Package control serves the gRPC contract: tripod.v1.BackendService and grpc.health.v1.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/history"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/parts"
	"tripod/go-backend/internal/tracer"
)

// Server answers tripod.v1.BackendService.
type Server struct {
	tripodv1.UnimplementedBackendServiceServer

	root   dataplane.Root
	file   *object.File
	tracer *tracer.Tracer
	names  *agent.Names
	log    *slog.Logger

	readings *history.Readings
	rates    *history.Rates
}

// NewServer returns a server that reads the pins under root and names what it finds after the object file and the agent.
func NewServer(
	root dataplane.Root, file *object.File, tracer *tracer.Tracer, names *agent.Names, log *slog.Logger,
) *Server {
	return &Server{
		root: root, file: file, tracer: tracer, names: names, log: log,
		readings: history.NewReadings(), rates: history.NewRates(),
	}
}

// ProcessData traces one frame. The interface may be left out where exactly one is managed.
func (s *Server) ProcessData(ctx context.Context, request *tripodv1.DataRequest) (*tripodv1.DataResponse, error) {
	name := request.GetInterface()
	if name == "" {
		names, err := s.root.Interfaces()
		if err != nil {
			return nil, s.fail(ctx, "ProcessData", err)
		}
		switch len(names) {
		case 0:
			return nil, status.Error(codes.NotFound, "no interface is managed on this host: attach a program first")
		case 1:
			name = names[0]
		default:
			return nil, status.Errorf(codes.InvalidArgument, "name the interface, one of: %s", strings.Join(names, ", "))
		}
	}
	result, err := s.tracer.Trace(ctx, name, request.GetData())
	if err != nil {
		return nil, s.fail(ctx, "ProcessData", err)
	}
	response := &tripodv1.DataResponse{
		Interface:   result.Interface,
		Verdict:     verdict(result.Verdict),
		Reason:      result.Reason,
		WouldReason: result.WouldReason,
		Extended:    result.Extended,
		Program:     program(result.Program),
		DurationNs:  uint64(result.Duration.Nanoseconds()),
	}
	if result.Would != 0 {
		response.Would = verdict(result.Would)
	}
	names := s.names.Of(ctx, name)
	for _, step := range result.Path {
		response.Path = append(response.Path, &tripodv1.Step{
			Part: step.Part, Id: partID(step.Slot, names), Says: step.Says, Observed: step.Observed,
		})
	}
	return response, nil
}

// partID returns the name of what a slot counts.
func partID(slot uint32, names map[uint32]agent.Slot) string {
	if slot == 0 {
		return ""
	}
	if named, ok := names[slot]; ok {
		return named.ID
	}
	return fmt.Sprintf("slot %d", slot)
}

// GetStats returns the counters of every interface that carries a program of ours, and what is wrong with the others.
func (s *Server) GetStats(ctx context.Context, request *tripodv1.StatsRequest) (*tripodv1.StatsResponse, error) {
	response := &tripodv1.StatsResponse{Timestamp: timestamppb.New(time.Now())}
	take := dataplane.Take
	if request.GetParts() {
		take = dataplane.TakeWithHits
	}
	survey := take(ctx, s.root, s.file)
	clock, err := dataplane.NewClock()
	if err != nil {
		return nil, s.fail(ctx, "GetStats", err)
	}
	for _, report := range survey.Interfaces {
		if !report.Runs() || !report.Counted {
			continue
		}
		stats := interfaceStats(report, survey.Names)
		if request.GetParts() {
			stats.Parts = partCounters(parts.Of(report.Hits, s.names.Of(ctx, report.Name)), clock)
		}
		response.Interfaces = append(response.Interfaces, stats)
	}
	for _, problem := range survey.Problems {
		response.Problems = append(response.Problems, &tripodv1.Problem{
			Interface: problem.Interface, State: string(problem.State), Problem: problem.Text,
		})
	}
	return response, nil
}

func interfaceStats(report dataplane.Report, names object.Names) *tripodv1.InterfaceStats {
	stats := &tripodv1.InterfaceStats{Name: report.Name, Mode: report.Program.Mode, Program: program(report.Program)}
	for _, count := range report.Counts {
		stats.Counters = append(stats.Counters, &tripodv1.Counter{
			Verdict: verdict(count.Verdict),
			Reason:  names.Reasons.Name(count.Reason),
			Packets: count.Packets,
			Bytes:   count.Bytes,
		})
	}
	return stats
}

func partCounters(found []parts.Part, clock dataplane.Clock) []*tripodv1.PartCounter {
	counters := make([]*tripodv1.PartCounter, len(found))
	for i, one := range found {
		counters[i] = &tripodv1.PartCounter{
			Part: one.Part, Id: one.ID, Packets: one.Packets, Bytes: one.Bytes,
			ObservedPackets: one.ObservedPackets, ObservedBytes: one.ObservedBytes,
		}
		if one.Last > 0 {
			counters[i].Last = timestamppb.New(clock.Time(one.Last))
		}
	}
	return counters
}

// fail turns an error into a status, and logs what is the host's fault rather than the caller's.
func (s *Server) fail(ctx context.Context, method string, err error) error {
	code := codes.Internal
	switch {
	case errors.Is(err, tracer.ErrFrame):
		code = codes.InvalidArgument
	case errors.Is(err, dataplane.ErrNotAttached):
		code = codes.NotFound
	case errors.Is(err, tracer.ErrStale), errors.Is(err, object.ErrUnusable), errors.Is(err, dataplane.ErrDamaged):
		code = codes.FailedPrecondition
	}
	if code == codes.Internal || code == codes.FailedPrecondition {
		s.log.WarnContext(ctx, "request failed", "method", method, "code", code.String(), "error", err)
	}
	return status.Error(code, err.Error())
}

// verdict moves enum xdp_action up by one, as zero must mean "not set" on the wire.
func verdict(action uint32) tripodv1.Verdict {
	return tripodv1.Verdict(action + 1)
}

func program(p dataplane.Program) *tripodv1.Program {
	return &tripodv1.Program{Id: p.ID, Name: p.Name, Tag: p.Tag, Mode: p.Mode}
}
