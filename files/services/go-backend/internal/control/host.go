package control

import (
	"context"
	"encoding/hex"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/agent"
)

// samplesPage is a page of samples whose size nobody asked for, and maxSamplesPage the largest one.
const samplesPage, maxSamplesPage = 100, 1000

// HostServer answers tripod.v1.HostService by asking the host's agent.
type HostServer struct {
	tripodv1.UnimplementedHostServiceServer

	agent *agent.Client
	log   *slog.Logger
}

// NewHostServer returns a server that asks through client.
func NewHostServer(client *agent.Client, log *slog.Logger) *HostServer {
	return &HostServer{agent: client, log: log}
}

// GetTopology returns what the host is made of.
func (s *HostServer) GetTopology(
	ctx context.Context, _ *tripodv1.GetTopologyRequest,
) (*tripodv1.GetTopologyResponse, error) {
	found, err := s.agent.Topology(ctx)
	if err != nil {
		return nil, refused(ctx, s.log, "GetTopology", err)
	}
	return &tripodv1.GetTopologyResponse{Name: found.Name, Document: string(found.Topology)}, nil
}

// ListSamples returns the last packets that were dropped, or would have been.
func (s *PolicyServer) ListSamples(
	ctx context.Context, request *tripodv1.ListSamplesRequest,
) (*tripodv1.ListSamplesResponse, error) {
	limit := request.GetLimit()
	if limit == 0 {
		limit = samplesPage
	}
	if limit > maxSamplesPage {
		return nil, status.Errorf(codes.InvalidArgument, "%d samples are more than a page of %d", limit, maxSamplesPage)
	}
	found, err := s.agent.Samples(ctx, agent.Filter{
		Limit: limit, Interface: unlessEmpty(request.GetInterface()), Reason: unlessEmpty(request.GetReason()),
		Part: unlessEmpty(request.GetPart()),
	})
	if err != nil {
		return nil, s.fail(ctx, "ListSamples", err)
	}
	response := &tripodv1.ListSamplesResponse{}
	for _, one := range found {
		frame, err := hex.DecodeString(one.Frame)
		if err != nil {
			return nil, s.fail(ctx, "ListSamples", err)
		}
		response.Samples = append(response.Samples, &tripodv1.Sample{
			Time: timestamppb.New(one.Time), Interface: one.Interface, Queue: one.Queue, Verdict: one.Verdict, Reason: one.Reason,
			Part: orEmpty(one.Part), Would: orEmpty(one.Would), WouldReason: orEmpty(one.WouldReason),
			WouldPart: orEmpty(one.WouldPart), Length: one.Length, Frame: frame, Source: one.Source,
			Destination: one.Destination, Protocol: one.Protocol, SourcePort: one.SourcePort,
			DestinationPort: one.DestinationPort, Vlan: one.VLAN,
		})
	}
	return response, nil
}

func unlessEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
