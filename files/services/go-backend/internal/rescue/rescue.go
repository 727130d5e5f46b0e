// Package rescue keeps the process alive where code meets data that nobody foresaw: a panic becomes an error.
package rescue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

var caught atomic.Uint64

// Caught returns how many panics were caught since the start of the process.
func Caught() uint64 {
	return caught.Load()
}

// Do calls f and returns its error, or one for its panic.
func Do(what string, f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = Panicked(what, value)
		}
	}()
	return f()
}

// Every calls f again and again until the context ends. What went wrong is f's to say; the rest goes on.
func Every(ctx context.Context, interval time.Duration, what string, f func() error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = Do(what, f)
		}
	}
}

// Panicked logs and counts a panic that was recovered, and returns it as an error. It must be called while the stack is
// still that of the panic, which is to say in the deferred function.
func Panicked(what string, value any) error {
	caught.Add(1)
	slog.Default().Error("a panic was caught; this is a defect", "in", what, "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
	return fmt.Errorf("%s: internal error (%v); the log has its stack", what, value)
}
