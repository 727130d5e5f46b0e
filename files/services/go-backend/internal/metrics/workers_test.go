package metrics_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/metrics"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/workers"
)

func TestAScrapeTellsWhatWorkersDo(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	h.SetPolicy(name, bpftest.NewPolicy().Service(9, bpftest.ActionAFXDP))
	path := filepath.Join(t.TempDir(), "workers.json")
	text := fmt.Sprintf(`{"workers": [
		{"name": "edge", "nic": %q, "queues": [0], "handler": "reflect", "rx_ring": 128, "tx_ring": 128, "watchdog_ms": 60000},
		{"name": "lost", "nic": "absent0", "queues": [0], "handler": "sink"}]}`, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	manager := workers.New(dataplane.NewRoot(h.Root), path, silent)
	defer manager.Close()
	if err := manager.Reload(t.Context()); err == nil {
		t.Error("a NIC that is not there is")
	}
	names := agent.NewNames(agent.New("/nonexistent/policy.sock"))
	all := metrics.NewCollector(dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)), names, manager, silent)
	expect(t, series(t, all), map[string]float64{"tripod_ready": 0})
	frame := bpftest.UDP("192.0.2.1", 30)
	group := append([]byte(nil), frame...)
	group[6] |= 1
	h.Send(name, frame, 5)
	h.Send(name, group, 2)
	of := fmt.Sprintf(`interface=%q,queue="0",worker="edge"`, name)
	counted := fmt.Sprintf(`tripod_worker_bytes_total{handler="reflect",%s}`, of)
	var got map[string]float64
	for deadline := time.Now().Add(20 * time.Second); got[counted] != float64(7*len(frame)); time.Sleep(10 * time.Millisecond) {
		if got = series(t, metrics.NewWorkers(manager, silent)); time.Now().After(deadline) {
			t.Fatal(got)
		}
	}
	packets := func(verdict, reason string) string {
		return fmt.Sprintf(`tripod_worker_packets_total{handler="reflect",interface=%q,queue="0",reason=%q,verdict=%q,worker="edge"}`,
			name, reason, verdict)
	}
	expect(t, got, map[string]float64{
		packets("sent", ""): 5, packets("consumed", ""): 0, packets("forwarded", ""): 0, packets("dropped", "group_source"): 2,
		packets("dropped", "panic"):                          0,
		`tripod_worker_state{state="running",worker="edge"}`: 1, `tripod_worker_state{state="failed",worker="edge"}`: 0,
		`tripod_worker_state{state="failed",worker="lost"}`: 1,
		`tripod_worker_frames{` + of + `}`:                  384, `tripod_worker_lost_frames{` + of + `}`: 0,
		`tripod_worker_stalled{` + of + `}`: 0, `tripod_worker_retries_total{` + of + `}`: 0,
		fmt.Sprintf(`tripod_worker_kernel_drops_total{interface=%q,queue="0",reason="rx_ring_full",worker="edge"}`, name): 0,
	})
	busy, batches, infos := got[`tripod_worker_busy_seconds_total{`+of+`}`], got[`tripod_worker_handler_seconds_count{`+of+`}`], 0
	for key := range got {
		if strings.HasPrefix(key, "tripod_worker_info{") && strings.Contains(key, `mode="copy"`) {
			infos++
		}
	}
	if busy <= 0 || batches < 1 || batches > 7 || infos != 1 ||
		got[`tripod_worker_handler_seconds_bucket{`+of+`,le="+Inf"}`] != batches {
		t.Errorf("busy %v s, %v batches, %d served: %v", busy, batches, infos, got)
	}
	// What was counted stays when nobody serves the queue any more.
	if err := manager.Stop("edge"); err != nil {
		t.Fatal(err)
	}
	got = series(t, metrics.NewWorkers(manager, silent))
	expect(t, got, map[string]float64{packets("sent", ""): 5, `tripod_worker_state{state="stopped",worker="edge"}`: 1})
	if _, there := got[`tripod_worker_frames{`+of+`}`]; there {
		t.Error("a stopped worker has frames")
	}
}
