package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/control"
)

// Every line about a call bears the name of its request, the one of a failure too; what is no name is not taken for one.
func TestLinesOfACallBearTheNameOfItsRequest(t *testing.T) {
	for name, lines := range map[string]int{
		"trace-7":               2,
		strings.Repeat("a", 64): 2,
		"":                      1,
		"a b":                   1,
		strings.Repeat("a", 65): 1,
	} {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			log := slog.New(control.RequestIDs{Handler: slog.NewJSONHandler(&logged, nil)}).With("service", "go-backend")
			var server *grpc.Server
			client := tripodv1.NewPolicyServiceClient(serve(t, func(made *grpc.Server) {
				server = made
				nobody := agent.New("/nonexistent/policy.sock")
				tripodv1.RegisterPolicyServiceServer(server, control.NewPolicyServer(nobody, log))
			}, grpc.ChainUnaryInterceptor(control.NameUnary(log)), grpc.ChainStreamInterceptor(control.NameStream(log))))

			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", name)
			if _, err := client.ListPolicies(ctx, &tripodv1.ListPoliciesRequest{}); err == nil {
				t.Fatal("an agent that is not there answers")
			}
			server.GracefulStop()

			found := strings.Split(strings.TrimSpace(logged.String()), "\n")
			if len(found) != lines {
				t.Fatalf("%d lines, not %d: %s", len(found), lines, logged.String())
			}
			for _, line := range found {
				var entry map[string]any
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					t.Fatal(err)
				}
				if got, there := entry["request_id"]; there != (lines == 2) || there && got != name {
					t.Errorf("request_id is %v in %s", got, line)
				}
			}
		})
	}
}
