package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tripod/go-backend/gen/tripodv1"
)

const scheme = "Bearer "

// Secret guards the services by which a host is changed, or packets are read: their calls go through only where they bring the
// secret, and all others as they are. Whoever reaches the listener may read rates, and nothing more. Where there is no secret,
// nobody has it.
type Secret struct {
	known bool
	want  [sha256.Size]byte
}

// NewSecret returns the guard of a secret; of an empty one, that nobody passes.
func NewSecret(secret string) Secret {
	return Secret{known: secret != "", want: sha256.Sum256([]byte(scheme + secret))}
}

// Unary guards calls of one answer.
func (s Secret) Unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if err := s.check(ctx, info.FullMethod); err != nil {
			return nil, err
		}
		return handler(ctx, request)
	}
}

// Stream guards calls of many.
func (s Secret) Stream() grpc.StreamServerInterceptor {
	return func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if err := s.check(stream.Context(), info.FullMethod); err != nil {
			return err
		}
		return handler(server, stream)
	}
}

// guarded are the services, and what they are, for who is refused.
var guarded = map[string]string{
	tripodv1.PolicyService_ServiceDesc.ServiceName:    "policies are",
	tripodv1.DataPlaneService_ServiceDesc.ServiceName: "the data plane is",
	tripodv1.HostService_ServiceDesc.ServiceName:      "the host is",
}

func (s Secret) check(ctx context.Context, method string) error {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	what, is := guarded[service]
	if !is {
		return nil
	}
	given := metadata.ValueFromIncomingContext(ctx, "authorization")
	// Digests have one length, so that the time to compare them tells nothing.
	if len(given) == 1 && s.known {
		if got := sha256.Sum256([]byte(given[0])); subtle.ConstantTimeCompare(got[:], s.want[:]) == 1 {
			return nil
		}
	}
	return status.Error(codes.Unauthenticated, what+" for who holds the secret of this host's services")
}
