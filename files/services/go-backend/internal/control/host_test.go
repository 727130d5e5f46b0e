package control_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/control"
)

const sampled = `{"samples": [{"time": "2026-01-02T12:00:00.000Z", "interface": "ens1", "queue": 3, "verdict": "drop",
	"reason": "rule_drop", "part": "rule:no-snmp", "would": null, "would_reason": null, "would_part": null, "length": 60,
	"source": "192.0.2.1", "destination": "198.51.100.1", "protocol": 17, "source_port": 4000, "destination_port": 161,
	"vlan": null, "frame": "ff00"}, {"time": "2026-01-02T12:00:00Z", "interface": "ens1", "queue": 0, "verdict": "pass",
	"reason": "no_rule", "part": null, "would": "drop", "would_reason": "limit", "would_part": "limit:syn", "length": 60,
	"source": null, "destination": null, "protocol": null, "source_port": null, "destination_port": null, "vlan": 0,
	"frame": ""}]}`

func TestSamplesReachTheCallerAsTheAgentTellsThem(t *testing.T) {
	h := &host{reply: result(strings.ReplaceAll(sampled, "\n", ""))}
	client, ctx := policies(t, h), with(t, "Bearer "+secret)
	noon := timestamppb.New(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	got, err := client.ListSamples(ctx, &tripodv1.ListSamplesRequest{})
	want := &tripodv1.ListSamplesResponse{Samples: []*tripodv1.Sample{
		{
			Time: noon, Interface: "ens1", Queue: 3, Verdict: "drop", Reason: "rule_drop", Part: "rule:no-snmp", Length: 60,
			Source: proto.String("192.0.2.1"), Destination: proto.String("198.51.100.1"), Protocol: proto.Uint32(17),
			SourcePort: proto.Uint32(4000), DestinationPort: proto.Uint32(161), Frame: []byte{0xff, 0},
		},
		{
			Time: noon, Interface: "ens1", Verdict: "pass", Reason: "no_rule", Would: "drop", WouldReason: "limit",
			WouldPart: "limit:syn", Length: 60, Vlan: proto.Uint32(0),
		},
	}}
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	asked := map[string]any{"id": 1.0, "op": "samples", "limit": 100.0, "interface": nil, "reason": nil, "part": nil}
	if !maps.Equal(h.asked, asked) {
		t.Errorf("asked %v, want %v", h.asked, asked)
	}
	if _, err := client.ListSamples(ctx, &tripodv1.ListSamplesRequest{Limit: 1000, Interface: "a", Reason: "b", Part: "c"}); err != nil {
		t.Error(err)
	}
	asked = map[string]any{"id": 1.0, "op": "samples", "limit": 1000.0, "interface": "a", "reason": "b", "part": "c"}
	if !maps.Equal(h.asked, asked) {
		t.Errorf("asked %v, want %v", h.asked, asked)
	}
	if _, err := client.ListSamples(ctx, &tripodv1.ListSamplesRequest{Limit: 1001}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
}

func TestSamplesThatAreNoHexAreNotTold(t *testing.T) {
	h := &host{reply: result(strings.ReplaceAll(strings.ReplaceAll(sampled, "\n", ""), "ff00", "ff0"))}
	_, err := policies(t, h).ListSamples(with(t, "Bearer "+secret), &tripodv1.ListSamplesRequest{})
	if status.Code(err) != codes.Internal {
		t.Errorf("got %v", err)
	}
}

func TestTheTopologyIsForWhoHoldsTheSecret(t *testing.T) {
	h := &host{reply: result(`{"name": "edge1", "topology": {"nodes": []}}`)}
	client := listen(t, h)
	hosts := tripodv1.NewHostServiceClient(serve(t, func(server *grpc.Server) {
		tripodv1.RegisterHostServiceServer(server, control.NewHostServer(client, silent))
	}, grpc.UnaryInterceptor(control.NewSecret(secret).Unary())))
	if _, err := hosts.GetTopology(t.Context(), &tripodv1.GetTopologyRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
	got, err := hosts.GetTopology(with(t, "Bearer "+secret), &tripodv1.GetTopologyRequest{})
	if err != nil || got.GetName() != "edge1" || !json.Valid([]byte(got.GetDocument())) {
		t.Errorf("got %v, %v", got, err)
	}
	away := tripodv1.NewHostServiceClient(serve(t, func(server *grpc.Server) {
		tripodv1.RegisterHostServiceServer(server, control.NewHostServer(agent.New("/nonexistent"), silent))
	}))
	if _, err := away.GetTopology(t.Context(), &tripodv1.GetTopologyRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
}
