package control_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/control"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
)

func TestHealthIsLookedUpAndNotRemembered(t *testing.T) {
	var broken atomic.Bool
	health := control.NewHealth(func(context.Context) (string, error) {
		if broken.Load() {
			return "", errors.New("pins are gone")
		}
		return "", nil
	}, silent)
	connection := serve(t, func(server *grpc.Server) { grpc_health_v1.RegisterHealthServer(server, health) })
	client := grpc_health_v1.NewHealthClient(connection)
	web := httptest.NewServer(control.HTTPHandler(health, http.NotFoundHandler(), http.NotFoundHandler()))
	defer web.Close()
	watch, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		broken bool
		want   grpc_health_v1.HealthCheckResponse_ServingStatus
		ready  int
	}{
		{false, grpc_health_v1.HealthCheckResponse_SERVING, http.StatusOK},
		{true, grpc_health_v1.HealthCheckResponse_NOT_SERVING, http.StatusServiceUnavailable},
		{false, grpc_health_v1.HealthCheckResponse_SERVING, http.StatusOK},
	} {
		broken.Store(test.broken)
		for _, service := range []string{"", "tripod.v1.BackendService"} {
			got, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
			if err != nil || got.GetStatus() != test.want {
				t.Errorf("%q: got %v, %v, want %v", service, got, err, test.want)
			}
		}
		if got, err := watch.Recv(); err != nil || got.GetStatus() != test.want {
			t.Errorf("watch: got %v, %v, want %v", got, err, test.want)
		}
		for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": test.ready} {
			response, err := http.Get(web.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s: %s %s, want %d", path, response.Status, body, want)
			}
		}
	}
	if _, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "absent"}); status.Code(err) != codes.NotFound {
		t.Errorf("unknown service: %v", err)
	}
}

func TestHealthFollowsPinsAndObject(t *testing.T) {
	h := bpftest.NewHost(t)
	path := filepath.Join(t.TempDir(), "object.o")
	health := control.NewHealth(control.SurveyCheck(dataplane.NewRoot(h.Root), object.Open(path)), silent)
	if err := health.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("without an object: %v", err)
	}
	if err := os.Symlink(bpftest.Object(t), path); err != nil {
		t.Fatal(err)
	}
	if err := health.Refresh(t.Context()); err != nil {
		t.Errorf("nothing managed yet: %v", err)
	}
	name := h.AddInterface()
	h.Attach(name, nil)
	if err := health.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(h.Map(name, object.CountersName)); err != nil {
		t.Fatal(err)
	}
	if err := health.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), object.CountersName) {
		t.Errorf("without a pin of the counters: %v", err)
	}
}

func TestOneWhoHangsUpDoesNotChangeTheStatus(t *testing.T) {
	// As a check does that waits for a replacement to settle.
	health := control.NewHealth(func(ctx context.Context) (string, error) { return "", ctx.Err() }, silent)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := health.Refresh(gone); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestOddEntriesAreLoggedOnceAndKeepNobodyFromWork(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	h.RemoveInterface(name)
	if err := os.Mkdir(filepath.Join(h.Root, "\xff\xfe"), 0o755); err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	check := control.SurveyCheck(dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
	health := control.NewHealth(check, slog.New(slog.NewJSONHandler(&logged, nil)))
	for range 3 {
		if err := health.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
	text := logged.String()
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, `\\xff\\xfe`) || !strings.Contains(text, name) {
		t.Errorf("logged:\n%s", text)
	}
}

func TestAPanicInTheCheckIsABadStateAndNoCrash(t *testing.T) {
	health := control.NewHealth(func(context.Context) (string, error) { panic("defect") }, silent)
	client := grpc_health_v1.NewHealthClient(serve(t, func(server *grpc.Server) { grpc_health_v1.RegisterHealthServer(server, health) }))
	got, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("got %v, %v", got, err)
	}
}
