package control

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/history"
	"tripod/go-backend/internal/rescue"
)

const (
	// readEvery is between two readings that are kept.
	readEvery = time.Second
	// readTimeout bounds the wait for programs that are being replaced.
	readTimeout = 700 * time.Millisecond
	// tooSoon after a reading there is none: who woke a little early is not to read twice.
	tooSoon = 200 * time.Millisecond
	// maxWait bounds how long a call waits for a reading.
	maxWait = 10 * time.Second
)

// Record reads the counters at the beginning of every second until the context ends, and keeps what it read. What cannot be read
// is a gap.
func (s *Server) Record(ctx context.Context) {
	defer s.readings.Close()
	for {
		now := time.Now()
		next := now.Truncate(readEvery).Add(readEvery).Sub(now)
		if next < tooSoon {
			next += readEvery
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
		_ = rescue.Do("reading of counters", func() error { return s.read(ctx) })
	}
}

func (s *Server) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	at := time.Now()
	stats, err := s.GetStats(ctx, &tripodv1.StatsRequest{})
	if err != nil {
		return err
	}
	s.rates.Add(stats, at)
	s.readings.Add(stats)
	return nil
}

// ListReadings returns what came after a reading, or the next one.
func (s *Server) ListReadings(
	ctx context.Context, request *tripodv1.ListReadingsRequest,
) (*tripodv1.ListReadingsResponse, error) {
	wait := time.Duration(request.GetWaitMs()) * time.Millisecond
	if wait > maxWait {
		return nil, status.Errorf(codes.InvalidArgument, "wait_ms %d: at most %d are possible", request.GetWaitMs(), maxWait.Milliseconds())
	}
	found, lost, came := s.readings.After(request.GetAfter())
	if len(found) == 0 && !lost && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-timer.C:
		case <-came:
			found, lost, _ = s.readings.After(request.GetAfter())
		}
	}
	return &tripodv1.ListReadingsResponse{Readings: found, Lost: lost}, nil
}

// GetRates returns what was counted in steps.
func (s *Server) GetRates(_ context.Context, request *tripodv1.GetRatesRequest) (*tripodv1.GetRatesResponse, error) {
	if _, known := history.Resolutions[request.GetResolution()]; !known {
		return nil, status.Errorf(codes.InvalidArgument, "there is no resolution %d", request.GetResolution())
	}
	// More steps than there are come to all of them.
	return s.rates.Get(request.GetResolution(), int(min(request.GetSteps(), 1<<20))), nil
}
