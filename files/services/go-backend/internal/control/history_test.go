package control_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/control"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/tracer"
)

// recording serves what lies under root and reads it every second, until stop.
func recording(t *testing.T, root string) (client tripodv1.BackendServiceClient, stop func()) {
	t.Helper()
	pins, file := dataplane.NewRoot(root), object.Open(bpftest.Object(t))
	traces := tracer.New(pins, file)
	t.Cleanup(traces.Close)
	server := control.NewServer(pins, file, traces, agent.NewNames(agent.New("/nonexistent/policy.sock")), silent)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go server.Record(ctx)
	return tripodv1.NewBackendServiceClient(serve(t, func(to *grpc.Server) {
		tripodv1.RegisterBackendServiceServer(to, server)
	})), cancel
}

// next returns what came after a reading.
func next(t *testing.T, client tripodv1.BackendServiceClient, after string) *tripodv1.ListReadingsResponse {
	t.Helper()
	got, err := client.ListReadings(t.Context(), &tripodv1.ListReadingsRequest{After: after, WaitMs: 5000})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReadingsComeEverySecondAndStepsHaveWhatWasCounted(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	client, stop := recording(t, h.Root)

	after, sent := "", 0
	var moments []time.Time
	for len(moments) < 4 {
		got := next(t, client, after)
		if got.GetLost() || len(got.GetReadings()) != 1 {
			t.Fatalf("got %v", got)
		}
		one := got.GetReadings()[0]
		after = one.GetId()
		moments = append(moments, one.GetStats().GetTimestamp().AsTime())
		if sent > 0 {
			if counters := one.GetStats().GetInterfaces()[0].GetCounters(); len(counters) != 1 || counters[0].GetPackets() != uint64(sent) {
				t.Errorf("sent %d, got %v", sent, counters)
			}
		}
		h.Send(name, bpftest.UDP("192.0.2.1", 0), 3)
		sent += 3
	}
	for i := range moments[1:] {
		if passed := moments[i+1].Sub(moments[i]); passed < 500*time.Millisecond || passed > 3*time.Second {
			t.Errorf("%s between two readings", passed)
		}
	}

	got, err := client.GetRates(t.Context(), &tripodv1.GetRatesRequest{Resolution: tripodv1.Resolution_RESOLUTION_SECOND})
	if err != nil || len(got.GetInterfaces()) != 1 || len(got.GetInterfaces()[0].GetRates()) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	var counted uint64
	for _, packets := range got.GetInterfaces()[0].GetRates()[0].GetPackets() {
		counted += packets
	}
	if counted != uint64(sent-3) {
		t.Errorf("counted %d of %d", counted, sent-3)
	}
	for _, request := range []*tripodv1.GetRatesRequest{{}, {Resolution: 9}} {
		if _, err := client.GetRates(t.Context(), request); status.Code(err) != codes.InvalidArgument {
			t.Errorf("got %v", err)
		}
	}

	// Who waits while the service stops does not keep it.
	begun := time.Now()
	time.AfterFunc(50*time.Millisecond, stop)
	for last := after; ; {
		got := next(t, client, last)
		if len(got.GetReadings()) == 0 {
			break
		}
		last = got.GetReadings()[0].GetId()
	}
	if passed := time.Since(begun); passed > 3*time.Second {
		t.Errorf("waited for %s", passed)
	}
	_, err = client.ListReadings(t.Context(), &tripodv1.ListReadingsRequest{WaitMs: 10_001})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
}
