package control_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/control"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/workers"
)

// crew is a host with one worker of one queue, and who asks for it.
type crew struct {
	host    *bpftest.Host
	nic     string
	path    string
	manager *workers.Manager
	client  tripodv1.DataPlaneServiceClient
}

func newCrew(t *testing.T) *crew {
	t.Helper()
	c := &crew{host: bpftest.NewHost(t), path: filepath.Join(t.TempDir(), "workers.json")}
	c.nic = c.host.AddInterface()
	c.host.Attach(c.nic, nil)
	c.host.SetPolicy(c.nic, bpftest.NewPolicy().Service(9, bpftest.ActionAFXDP))
	c.write(t, "reflect")
	c.manager = workers.New(dataplane.NewRoot(c.host.Root), c.path, silent)
	t.Cleanup(c.manager.Close)
	guard := control.NewSecret(secret)
	c.client = tripodv1.NewDataPlaneServiceClient(serve(t, func(server *grpc.Server) {
		tripodv1.RegisterDataPlaneServiceServer(server, control.NewDataPlaneServer(c.manager, silent))
	}, grpc.UnaryInterceptor(guard.Unary()), grpc.StreamInterceptor(guard.Stream())))
	return c
}

func (c *crew) write(t *testing.T, handler string) {
	t.Helper()
	text := fmt.Sprintf(`{"workers": [{"name": "edge", "nic": %q, "queues": [0], "handler": %q, "rx_ring": 128, "tx_ring": 128, "watchdog_ms": 60000}]}`,
		c.nic, handler)
	if err := os.WriteFile(c.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheDataPlaneIsForWhoHoldsTheSecret(t *testing.T) {
	c := newCrew(t)
	_, err := c.client.StopWorker(with(t, "Bearer x"), &tripodv1.StopWorkerRequest{Name: "edge"})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("one answer: %v", err)
	}
	stream, err := c.client.WatchWorkerStats(with(t), &tripodv1.WatchWorkerStatsRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a stream: %v", err)
	}
}

func TestWorkersAreControlled(t *testing.T) {
	c := newCrew(t)
	ctx := with(t, "Bearer "+secret)
	listed, err := c.client.ListWorkers(ctx, &tripodv1.ListWorkersRequest{})
	if err != nil || len(listed.GetWorkers()) != 0 {
		t.Errorf("before the file was read: %v, %v", listed, err)
	}
	reloaded, err := c.client.ReloadWorkers(ctx, &tripodv1.ReloadWorkersRequest{})
	if err != nil || len(reloaded.GetWorkers()) != 1 {
		t.Fatal(reloaded, err)
	}
	one := reloaded.GetWorkers()[0]
	if one.GetName() != "edge" || one.GetNic() != c.nic || one.GetState() != "running" || one.GetHandler() != "reflect" ||
		len(one.GetQueues()) != 1 || one.GetQueues()[0].GetMode() != "copy" || one.GetMemory() == "" || one.GetReason() != "" {
		t.Errorf("%v", one)
	}
	cpu := one.GetQueues()[0].GetCpu()
	moved, err := c.client.MoveWorker(ctx, &tripodv1.MoveWorkerRequest{Name: "edge", Cpus: []uint32{cpu}})
	if err != nil || moved.GetWorker().GetQueues()[0].GetCpu() != cpu {
		t.Error(moved, err)
	}
	frame := bpftest.UDP("192.0.2.1", 30)
	c.host.Send(c.nic, frame, 7)
	var stats *tripodv1.QueueStats
	for deadline := time.Now().Add(20 * time.Second); len(stats.GetHandlers()) == 0 || stats.GetHandlers()[0].GetPackets() < 7; {
		response, err := c.client.GetWorkerStats(ctx, &tripodv1.GetWorkerStatsRequest{Name: "edge"})
		if err != nil || len(response.GetQueues()) != 1 || time.Now().After(deadline) {
			t.Fatal(response, err)
		}
		stats = response.GetQueues()[0]
	}
	handled := stats.GetHandlers()[0]
	if handled.GetSent() != 7 || handled.GetBytes() != uint64(7*len(frame)) || len(handled.GetDropped()) != 0 ||
		stats.GetFrames() != 384 || stats.GetFillLevel() == 0 || stats.GetNic() != c.nic || stats.GetKernel().GetDropped() != 0 {
		t.Errorf("%v", stats)
	}
	stopped, err := c.client.StopWorker(ctx, &tripodv1.StopWorkerRequest{Name: "edge"})
	if err != nil || stopped.GetWorker().GetState() != "stopped" || len(stopped.GetWorker().GetQueues()) != 0 {
		t.Error(stopped, err)
	}
	started, err := c.client.StartWorker(ctx, &tripodv1.StartWorkerRequest{Name: "edge"})
	if err != nil || started.GetWorker().GetState() != "running" {
		t.Error(started, err)
	}
	stream, err := c.client.WatchWorkerStats(ctx, &tripodv1.WatchWorkerStatsRequest{IntervalMs: 100})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		response, err := stream.Recv()
		if err != nil || response.GetQueues()[0].GetHandlers()[0].GetSent() != 7 {
			t.Fatal(response, err)
		}
	}
	backends, err := c.client.ListBackends(ctx, &tripodv1.ListBackendsRequest{})
	if err != nil || len(backends.GetBackends()) != 0 {
		t.Error(backends, err)
	}
}

// TestPacketsAreCaptured has one of three packets in the file, and goes on until the worker ends.
func TestPacketsAreCaptured(t *testing.T) {
	c := newCrew(t)
	ctx := with(t, "Bearer "+secret)
	if err := c.manager.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	stream, err := c.client.Capture(ctx, &tripodv1.CaptureRequest{Name: "edge", Filter: "src host 192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	// With the head of the file it has begun.
	head, err := stream.Recv()
	if err != nil || !bytes.HasPrefix(head.GetData(), []byte{0x0a, 0x0d, 0x0d, 0x0a}) {
		t.Fatal(head, err)
	}
	wanted := bpftest.UDP("192.0.2.7", 41)
	c.host.Send(c.nic, bpftest.UDP("192.0.2.1", 30), 2)
	c.host.Send(c.nic, wanted, 1)
	var file []byte
	var last *tripodv1.CaptureResponse
	for last.GetEnded() == "" {
		if last, err = stream.Recv(); err != nil {
			t.Fatal(err)
		}
		file = append(file, last.GetData()...)
		if _, err := c.client.StopWorker(ctx, &tripodv1.StopWorkerRequest{Name: "edge"}); err != nil {
			t.Fatal(err)
		}
	}
	if last.GetEnded() != "stopped" || last.GetPackets() != 1 || last.GetSeen() != 3 || last.GetMissed() != 0 ||
		bytes.Count(file, wanted) != 1 {
		t.Errorf("%v, % x", last, file)
	}
}

func TestWhatWorkersCannotIsSaid(t *testing.T) {
	c := newCrew(t)
	ctx := with(t, "Bearer "+secret)
	if err := c.manager.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	watch := func(request *tripodv1.WatchWorkerStatsRequest) error {
		stream, err := c.client.WatchWorkerStats(ctx, request)
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	capture := func(request *tripodv1.CaptureRequest) error {
		stream, err := c.client.Capture(ctx, request)
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	c.write(t, "mirror")
	for name, one := range map[string]struct {
		call func() error
		code codes.Code
		says string
	}{
		"start": {func() error {
			_, err := c.client.StartWorker(ctx, &tripodv1.StartWorkerRequest{Name: "x"})
			return err
		}, codes.NotFound, `no worker of this name: "x"`},
		"stop": {func() error {
			_, err := c.client.StopWorker(ctx, &tripodv1.StopWorkerRequest{})
			return err
		}, codes.NotFound, `there are ["edge"]`},
		"move": {func() error {
			_, err := c.client.MoveWorker(ctx, &tripodv1.MoveWorkerRequest{Name: "edge", Cpus: []uint32{4000}})
			return err
		}, codes.InvalidArgument, "CPU 4000 is not in"},
		"stats": {func() error {
			_, err := c.client.GetWorkerStats(ctx, &tripodv1.GetWorkerStatsRequest{Name: "x"})
			return err
		}, codes.NotFound, "no worker"},
		"backends": {func() error {
			_, err := c.client.ListBackends(ctx, &tripodv1.ListBackendsRequest{Name: "x"})
			return err
		}, codes.NotFound, "no worker"},
		"reload": {func() error {
			_, err := c.client.ReloadWorkers(ctx, &tripodv1.ReloadWorkersRequest{})
			return err
		}, codes.FailedPrecondition, `handler "mirror"`},
		"watch": {func() error {
			return watch(&tripodv1.WatchWorkerStatsRequest{Name: "x"})
		}, codes.NotFound, "no worker"},
		"capture": {func() error {
			return capture(&tripodv1.CaptureRequest{Name: "x"})
		}, codes.NotFound, "no worker"},
		"filter": {func() error {
			return capture(&tripodv1.CaptureRequest{Name: "edge", Filter: "tcp prot 80", SnapLength: 3})
		}, codes.InvalidArgument, "3 bytes of a packet"},
		"interval": {func() error {
			return watch(&tripodv1.WatchWorkerStatsRequest{IntervalMs: 1})
		}, codes.InvalidArgument, "100 to 60000"},
	} {
		if err := one.call(); status.Code(err) != one.code || !strings.Contains(err.Error(), one.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestThePageOfWorkersSaysWhatBecameOfTheFile(t *testing.T) {
	c := newCrew(t)
	read := func() (page struct {
		FileSHA256 string           `json:"file_sha256"`
		Fault      string           `json:"fault"`
		Workers    []map[string]any `json:"workers"`
	}) {
		t.Helper()
		answer := httptest.NewRecorder()
		control.WorkersPage(c.manager).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/workers", nil))
		if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil || answer.Code != http.StatusOK {
			t.Fatal(answer, err)
		}
		return page
	}
	if page := read(); page.FileSHA256 != "" || page.Fault != "" || page.Workers == nil || len(page.Workers) != 0 {
		t.Errorf("before the file was read: %+v", page)
	}
	if err := c.manager.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := read()
	if len(first.FileSHA256) != 64 || first.Fault != "" || len(first.Workers) != 1 || first.Workers[0]["name"] != "edge" ||
		first.Workers[0]["nic"] != c.nic || first.Workers[0]["queue"] != 0.0 || first.Workers[0]["mode"] != "copy" {
		t.Errorf("%+v", first)
	}
	health := control.AllChecks(control.WorkersCheck(c.manager))
	if _, err := health(t.Context()); err != nil {
		t.Error(err)
	}
	c.write(t, "mirror")
	_ = c.manager.Reload(t.Context())
	page := read()
	if page.FileSHA256 == first.FileSHA256 || !strings.Contains(page.Fault, `handler "mirror"`) || len(page.Workers) != 1 {
		t.Errorf("%+v", page)
	}
	if _, err := health(t.Context()); err == nil || err.Error() != page.Fault {
		t.Errorf("health says %v", err)
	}
}
