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

// RequireSecret lets calls of tripod.v1.PolicyService through only where they bring the secret, and all others as they are:
// whoever reaches the listener may read rates, and nothing more. Where there is no secret, nobody has it.
func RequireSecret(secret string) grpc.UnaryServerInterceptor {
	guarded := "/" + tripodv1.PolicyService_ServiceDesc.ServiceName + "/"
	want := sha256.Sum256([]byte(scheme + secret))
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if !strings.HasPrefix(info.FullMethod, guarded) {
			return handler(ctx, request)
		}
		given := metadata.ValueFromIncomingContext(ctx, "authorization")
		// Digests have one length, so that the time to compare them tells nothing.
		if len(given) == 1 && secret != "" {
			if got := sha256.Sum256([]byte(given[0])); subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
				return handler(ctx, request)
			}
		}
		return nil, status.Error(codes.Unauthenticated, "policies are for who holds the secret of this host's services")
	}
}
