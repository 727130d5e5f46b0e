package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	"tripod/go-backend/internal/bpftest"
)

// TestWorkersLiveAsLongAsTheService starts one by the file, changes it by SIGHUP, breaks the file, and ends the service.
func TestWorkersLiveAsLongAsTheService(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	h.SetPolicy(name, bpftest.NewPolicy().Service(9, bpftest.ActionAFXDP))
	env := environment(t)
	env["XDP_PIN_ROOT"], env["XDP_OBJECT"] = h.Root, bpftest.Object(t)
	env["WORKERS_FILE"] = filepath.Join(t.TempDir(), "workers.json")
	write := func(handler string) {
		t.Helper()
		text := fmt.Sprintf(`{"workers": [{"name": "edge", "nic": %q, "queues": [0], "handler": %q, "rx_ring": 128, "tx_ring": 128, "watchdog_ms": 60000}]}`,
			name, handler)
		if err := os.WriteFile(env["WORKERS_FILE"], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// page waits until one has some words.
	page := func(path, words string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			response, err := http.Get("http://" + env["HTTP_ADDRESS"] + path)
			var body strings.Builder
			if err == nil {
				_ = response.Write(&body)
				response.Body.Close()
			}
			if strings.Contains(body.String(), words) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not say %q: %v\n%s", path, words, err, body.String())
			}
		}
	}
	write("sink")
	connection, stop := start(t, env)
	page("/workers", `"name":"edge"`)
	expect(t, env, connection, grpc_health_v1.HealthCheckResponse_SERVING, http.StatusOK, map[string]string{"/readyz": "ready"})
	frame := bpftest.UDP("192.0.2.1", 30)
	h.Send(name, frame, 3)
	page("/metrics", fmt.Sprintf(`tripod_worker_packets_total{handler="sink",interface=%q,queue="0",reason="",verdict="consumed",worker="edge"} 3`, name))
	wire := h.Wire(name)
	write("reflect")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	page("/metrics", `handler="reflect"`)
	h.Send(name, frame, 1)
	wire.Next()
	write("mirror")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	page("/workers", `handler \"mirror\"`)
	expect(t, env, connection, grpc_health_v1.HealthCheckResponse_NOT_SERVING, http.StatusServiceUnavailable, map[string]string{
		"/readyz": `handler "mirror"`,
	})
	h.Send(name, frame, 1)
	wire.Next()
	stop()
	h.Send(name, frame, 1)
	if !wire.Empty() {
		t.Error("a service that ended answers")
	}
}
