package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/bpftest"
)

// freeAddress returns a loopback address that was free a moment ago, of a port below those that the kernel gives to whoever connects
// (ip_local_port_range): so that nobody takes it by chance before the service does.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if listener, err := net.Listen("tcp", address); err == nil {
			listener.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

func environment(t *testing.T) map[string]string {
	return map[string]string{
		"HTTP_ADDRESS": freeAddress(t),
		"GRPC_ADDRESS": freeAddress(t),
		"XDP_PIN_ROOT": filepath.Join(t.TempDir(), "absent"),
		"XDP_OBJECT":   filepath.Join(t.TempDir(), "absent.o"),
		"LOG_LEVEL":    "error",
	}
}

func getenv(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestMain(m *testing.M) { bpftest.Main(m) }

// start runs the service and returns a connection to it, and a function that stops it.
func start(t *testing.T, env map[string]string) (*grpc.ClientConn, func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, getenv(env)) }()
	connection, err := grpc.NewClient("passthrough:///"+env["GRPC_ADDRESS"],
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection, func() {
		t.Helper()
		began := time.Now()
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(2 * shutdownTimeout):
			t.Fatalf("still running after %s", time.Since(began))
		}
	}
}

// expect asks for the health, and for pages.
func expect(t *testing.T, env map[string]string, connection *grpc.ClientConn,
	status grpc_health_v1.HealthCheckResponse_ServingStatus, readiness int, pages map[string]string,
) {
	t.Helper()
	health := grpc_health_v1.NewHealthClient(connection)
	answer, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil || answer.GetStatus() != status {
		t.Fatalf("got %v, %v", answer, err)
	}
	for path, part := range pages {
		response, err := http.Get("http://" + env["HTTP_ADDRESS"] + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		want := http.StatusOK
		if path == "/readyz" {
			want = readiness
		}
		if response.StatusCode != want || !strings.Contains(string(body), part) {
			t.Errorf("%s: %s\n%s", path, response.Status, body)
		}
	}
}

func TestServesWithoutAnyInterface(t *testing.T) {
	env := environment(t)
	env["XDP_PIN_ROOT"], env["XDP_OBJECT"] = bpftest.NewHost(t).Root, bpftest.Object(t)
	connection, stop := start(t, env)
	defer stop()
	expect(t, env, connection, grpc_health_v1.HealthCheckResponse_SERVING, http.StatusOK, map[string]string{
		"/readyz": "ready", "/metrics": "tripod_ready 1",
	})
}

func TestLivesWithoutPinsAndObjectAndStopsInTime(t *testing.T) {
	env := environment(t)
	connection, stop := start(t, env)
	defer stop()
	// The process is alive and says what it lacks.
	expect(t, env, connection, grpc_health_v1.HealthCheckResponse_NOT_SERVING, http.StatusServiceUnavailable, map[string]string{
		"/readyz": env["XDP_PIN_ROOT"],
	})
	stats, err := tripodv1.NewBackendServiceClient(connection).GetStats(t.Context(), &tripodv1.StatsRequest{})
	if err != nil || len(stats.GetInterfaces()) != 0 || len(stats.GetProblems()) != 2 {
		t.Errorf("got %v, %v", stats, err)
	}
	expect(t, env, connection, grpc_health_v1.HealthCheckResponse_NOT_SERVING, http.StatusServiceUnavailable, map[string]string{
		"/healthz": "alive", "/readyz": env["XDP_OBJECT"],
		"/metrics": `grpc_server_handled_total{grpc_code="OK",grpc_method="GetStats"`,
	})
	services, err := connectionServices(t, connection)
	if err == nil {
		t.Errorf("reflection answers: %v", services)
	}

	// A watcher never ends its call, and must not keep the service from stopping.
	watch, err := grpc_health_v1.NewHealthClient(connection).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
}

func TestPoliciesTakeTheSecretOfTheEnvironment(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	env := environment(t)
	env["POLICY_SOCKET"], env["POLICY_SECRET_FILE"] = filepath.Join(t.TempDir(), "absent.sock"), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(env["POLICY_SECRET_FILE"], []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	connection, stop := start(t, env)
	defer stop()
	client := tripodv1.NewPolicyServiceClient(connection)
	_, err := client.ListPolicies(t.Context(), &tripodv1.ListPoliciesRequest{}, grpc.WaitForReady(true))
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("without the secret: %v", err)
	}
	// With it the agent is asked, and there is none.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+secret)
	_, err = client.ListPolicies(ctx, &tripodv1.ListPoliciesRequest{})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), env["POLICY_SOCKET"]) {
		t.Errorf("with the secret: %v", err)
	}
}

// connectionServices asks for the services by reflection.
func connectionServices(t *testing.T, connection *grpc.ClientConn) (string, error) {
	t.Helper()
	stream, err := connection.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
	if err != nil {
		return "", err
	}
	if err := stream.SendMsg(&tripodv1.StatsRequest{}); err != nil {
		return "", err
	}
	var answer tripodv1.StatsResponse
	return answer.String(), stream.RecvMsg(&answer)
}

func TestATakenPortNamesTheVariable(t *testing.T) {
	for _, variable := range []string{"HTTP_ADDRESS", "GRPC_ADDRESS"} {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		env := environment(t)
		env[variable] = taken.Addr().String()
		err = run(t.Context(), getenv(env))
		if err == nil || !strings.Contains(err.Error(), variable) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: got %v", variable, err)
		}
	}
}

func TestABadEnvironmentIsRefused(t *testing.T) {
	if err := run(t.Context(), getenv(map[string]string{"HTTP_ADDRESS": "nowhere"})); err == nil {
		t.Error("it ran")
	}
}
