package main

import (
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"tripod/go-backend/internal/identity"
	"tripod/go-backend/internal/identity/identitytest"
)

func TestWithCertificatesOnlyTheNamedClientsAreServed(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	env := environment(t)
	env["TLS_DIRECTORY"], env["GRPC_CLIENTS"] = authority.Directory(t, "go-backend"), "flask-backend,connector"
	plain, stop := start(t, env)
	defer stop()
	ask := func(name string) error {
		who, err := identity.Open(authority.Directory(t, name), slog.Default())
		if err != nil {
			t.Fatal(err)
		}
		connection, err := grpc.NewClient("passthrough:///"+env["GRPC_ADDRESS"],
			grpc.WithTransportCredentials(credentials.NewTLS(who.Client("go-backend"))), grpc.WithNoProxy())
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		// Where it is refused, waiting until it is ready would be for ever.
		_, err = grpc_health_v1.NewHealthClient(connection).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{},
			grpc.WaitForReady(name == "connector"))
		return err
	}
	for _, name := range []string{"connector", "flask-backend", "go-backend"} {
		if err := ask(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ask("webui"); status.Code(err) != codes.Unavailable {
		t.Errorf("webui: %v", err)
	}
	_, err := grpc_health_v1.NewHealthClient(plain).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("plain: %v", err)
	}
	page, err := http.Get("http://" + env["HTTP_ADDRESS"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	text, _ := io.ReadAll(page.Body)
	for _, part := range []string{
		`tripod_certificate_not_after_timestamp_seconds{certificate="own"} 1`,
		`tripod_certificate_not_after_timestamp_seconds{certificate="authority"} 1`,
		"tripod_grpc_connections_refused_total ",
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("no %s", part)
		}
	}
	if strings.Contains(string(text), "tripod_grpc_connections_refused_total 0") {
		t.Error("nobody was counted as refused")
	}
}

func TestAStartWithoutItsCertificatesIsRefused(t *testing.T) {
	env := environment(t)
	env["TLS_DIRECTORY"] = t.TempDir()
	err := run(t.Context(), getenv(env))
	if err == nil || !strings.Contains(err.Error(), "TLS_DIRECTORY") ||
		!strings.Contains(err.Error(), filepath.Join(env["TLS_DIRECTORY"], identity.AuthorityFile)) {
		t.Errorf("got %v", err)
	}
}
