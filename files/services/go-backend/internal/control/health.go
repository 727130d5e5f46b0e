package control

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/rescue"
	"tripod/go-backend/internal/workers"
)

// Health is grpc.health.v1 with a status that is looked up, not remembered: SERVING means that what this service exists for
// works now.
type Health struct {
	*health.Server

	check Check
	log   *slog.Logger

	mu            sync.Mutex
	reason, notes string
}

// Check returns why the service cannot do its work now, or nil, and notes on what is out of order beside that.
type Check func(context.Context) (notes string, err error)

// SurveyCheck is the Check of what lies under root, named after the object file.
func SurveyCheck(root dataplane.Root, file *object.File) Check {
	return func(ctx context.Context) (string, error) {
		survey := dataplane.Take(ctx, root, file)
		return survey.Notes(), survey.Err()
	}
}

// WorkersCheck is the Check of AF_XDP workers: they live, their rings move, no frame is lost, and packets come to them.
func WorkersCheck(manager *workers.Manager) Check {
	return func(context.Context) (string, error) { return "", manager.Err() }
}

// AllChecks is several as one.
func AllChecks(checks ...Check) Check {
	return func(ctx context.Context) (string, error) {
		var notes []string
		var faults []error
		for _, check := range checks {
			note, err := check(ctx)
			if note != "" {
				notes = append(notes, note)
			}
			faults = append(faults, err)
		}
		return strings.Join(notes, "; "), errors.Join(faults...)
	}
}

// NewHealth returns a Health whose truth is check.
func NewHealth(check Check, log *slog.Logger) *Health {
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
	var notes string
	err := rescue.Do("health", func() (err error) {
		// One who hangs up in the middle must not change the status of all.
		notes, err = h.check(context.WithoutCancel(ctx))
		return err
	})
	state, reason := grpc_health_v1.HealthCheckResponse_SERVING, ""
	if err != nil {
		state, reason = grpc_health_v1.HealthCheckResponse_NOT_SERVING, err.Error()
	}
	if reason != h.reason {
		h.reason = reason
		h.log.WarnContext(ctx, "health changed", "status", state.String(), "reason", reason)
	}
	if notes != h.notes {
		h.notes = notes
		h.log.WarnContext(ctx, "notes changed; none is a reason to be unhealthy", "notes", notes)
	}
	for _, service := range []string{
		"", tripodv1.BackendService_ServiceDesc.ServiceName, tripodv1.DataPlaneService_ServiceDesc.ServiceName,
	} {
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
