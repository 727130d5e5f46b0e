package control

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"tripod/go-backend/gen/tripodv1"
)

// Health is grpc.health.v1 with a status that is looked up, not remembered: SERVING means that every pin can be read now.
type Health struct {
	*health.Server

	check func(context.Context) error
	log   *slog.Logger

	mu     sync.Mutex
	reason string
}

// NewHealth returns a Health whose truth is check.
func NewHealth(check func(context.Context) error, log *slog.Logger) *Health {
	return &Health{Server: health.NewServer(), check: check, log: log}
}

// Check answers for the moment of the question.
func (h *Health) Check(
	ctx context.Context, request *grpc_health_v1.HealthCheckRequest,
) (*grpc_health_v1.HealthCheckResponse, error) {
	_ = h.Refresh(ctx)
	return h.Server.Check(ctx, request)
}

// Refresh looks, updates the status that Watch streams, and returns why the service is not serving, if it is not.
func (h *Health) Refresh(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.check(ctx)
	state, reason := grpc_health_v1.HealthCheckResponse_SERVING, ""
	if err != nil {
		state, reason = grpc_health_v1.HealthCheckResponse_NOT_SERVING, err.Error()
	}
	if reason != h.reason {
		h.reason = reason
		h.log.WarnContext(ctx, "health changed", "status", state.String(), "reason", reason)
	}
	for _, service := range []string{"", tripodv1.BackendService_ServiceDesc.ServiceName} {
		h.SetServingStatus(service, state)
	}
	return err
}

// Run refreshes the status until the context ends, for those who watch it instead of asking.
func (h *Health) Run(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		_ = h.Refresh(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
