package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"tripod/go-backend/internal/identity"
	"tripod/go-backend/internal/identity/identitytest"
)

// service runs both listeners on loopback and returns the environment that names them.
func service(
	t *testing.T, web http.HandlerFunc, status grpc_health_v1.HealthCheckResponse_ServingStatus, options ...grpc.ServerOption,
) map[string]string {
	t.Helper()
	webServer := httptest.NewServer(web)
	t.Cleanup(webServer.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	grpcServer, answers := grpc.NewServer(options...), health.NewServer()
	answers.SetServingStatus("", status)
	grpc_health_v1.RegisterHealthServer(grpcServer, answers)
	go func() { _ = grpcServer.Serve(listener) }()
	t.Cleanup(grpcServer.Stop)
	return map[string]string{
		"HTTP_ADDRESS": webServer.Listener.Addr().String(),
		"GRPC_ADDRESS": listener.Addr().String(),
	}
}

func alive(http.ResponseWriter, *http.Request) {}

func TestHealthcheck(t *testing.T) {
	// A proxy in the environment must not be asked for the service next door.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	serving := grpc_health_v1.HealthCheckResponse_SERVING
	for _, test := range []struct {
		what string
		env  map[string]string
		says string
	}{
		{"healthy", service(t, alive, serving), ""},
		{"not serving", service(t, alive, grpc_health_v1.HealthCheckResponse_NOT_SERVING), "NOT_SERVING"},
		{"not serving for a reason", service(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" {
				http.Error(w, "eth0 runs no program", http.StatusServiceUnavailable)
			}
		}, grpc_health_v1.HealthCheckResponse_NOT_SERVING), "eth0 runs no program"},
		{"HTTP error", service(t, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "out of order", http.StatusInternalServerError)
		}, serving), "out of order"},
		{"nobody listens", map[string]string{"HTTP_ADDRESS": "127.0.0.1:1", "GRPC_ADDRESS": "127.0.0.1:1"}, "refused"},
		{"bad environment", map[string]string{"HTTP_ADDRESS": "8080"}, "HTTP_ADDRESS"},
	} {
		t.Run(test.what, func(t *testing.T) {
			err := run(func(name string) string { return test.env[name] })
			if test.says == "" {
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
}

func TestItIsAClientWithTheServicesOwnCertificate(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	directory := authority.Directory(t, "go-backend")
	who, err := identity.Open(directory, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	env := service(t, alive, grpc_health_v1.HealthCheckResponse_SERVING, grpc.Creds(who.Credentials("go-backend")))
	env["TLS_DIRECTORY"] = directory
	if err := run(func(name string) string { return env[name] }); err != nil {
		t.Error(err)
	}
	env["TLS_DIRECTORY"] = t.TempDir()
	if err := run(func(name string) string { return env[name] }); err == nil || !strings.Contains(err.Error(), "TLS_DIRECTORY") {
		t.Errorf("without certificates: %v", err)
	}
}

func TestASilentServiceTimesOut(t *testing.T) {
	// Accepts and never answers, as a process that hangs does.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	began := time.Now()
	err = run(func(name string) string {
		return map[string]string{"HTTP_ADDRESS": listener.Addr().String()}[name]
	})
	if err == nil || time.Since(began) > 2*timeout {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
