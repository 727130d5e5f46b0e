package control

import (
	"context"
	"log/slog"
	"regexp"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// requestIDKey is the metadata in which the REST API says for which of its requests it asks.
const requestIDKey = "x-request-id"

// wellFormed is what all services take for a request's name; anybody who reaches the listener may send one.
var wellFormed = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

type requestID struct{}

// RequestIDs makes a log in which lines that are written with the context of a call bear the name of its request.
type RequestIDs struct{ slog.Handler }

// Handle adds the name where there is one.
func (h RequestIDs) Handle(ctx context.Context, record slog.Record) error {
	if name, ok := ctx.Value(requestID{}).(string); ok {
		record.AddAttrs(slog.String("request_id", name))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs keeps the name in logs that are derived from this one.
func (h RequestIDs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return RequestIDs{h.Handler.WithAttrs(attrs)}
}

// WithGroup likewise.
func (h RequestIDs) WithGroup(name string) slog.Handler { return RequestIDs{h.Handler.WithGroup(name)} }

// NameUnary puts the name of the request into each call's context, and a line about each call that has one into the log.
func NameUnary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, named := named(ctx)
		begin := time.Now()
		answer, err := handler(ctx, request)
		if named {
			called(ctx, log, info.FullMethod, begin, err)
		}
		return answer, err
	}
}

// NameStream is NameUnary for calls of many answers.
func NameStream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, named := named(stream.Context())
		begin := time.Now()
		err := handler(server, namedStream{stream, ctx})
		if named {
			called(ctx, log, info.FullMethod, begin, err)
		}
		return err
	}
}

type namedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s namedStream) Context() context.Context { return s.ctx }

func named(ctx context.Context) (context.Context, bool) {
	given := metadata.ValueFromIncomingContext(ctx, requestIDKey)
	if len(given) != 1 || !wellFormed.MatchString(given[0]) {
		return ctx, false
	}
	return context.WithValue(ctx, requestID{}, given[0]), true
}

func called(ctx context.Context, log *slog.Logger, method string, begin time.Time, err error) {
	log.InfoContext(ctx, "call", "method", method, "code", status.Code(err).String(),
		"duration_ms", float64(time.Since(begin).Microseconds())/1000)
}
