package control

import (
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tripod/go-backend/internal/rescue"
)

// RecoverUnary turns a panic in a call into codes.Internal.
func RecoverUnary() grpc.UnaryServerInterceptor {
	return recovery.UnaryServerInterceptor(recovery.WithRecoveryHandler(caught))
}

// RecoverStream is RecoverUnary for streams.
func RecoverStream() grpc.StreamServerInterceptor {
	return recovery.StreamServerInterceptor(recovery.WithRecoveryHandler(caught))
}

func caught(value any) error {
	return status.Error(codes.Internal, rescue.Panicked("call", value).Error())
}
