// Command go-backend answers for the XDP data plane of its host over gRPC and HTTP.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	grpcprometheus "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/config"
	"tripod/go-backend/internal/control"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/metrics"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/privilege"
	"tripod/go-backend/internal/rescue"
	"tripod/go-backend/internal/tracer"
)

const (
	// refreshEvery is how late a watcher of the health, or the release of a gone interface's twin, may be.
	refreshEvery = 2 * time.Second
	// shutdownTimeout is below the 10 s after which Docker kills.
	shutdownTimeout = 5 * time.Second
	// maxMessage leaves room for any frame that a test run takes, with an error of ours for one that is too long.
	maxMessage = 128 << 10
)

// version is set by the linker.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := privilege.Drop(); err != nil {
		log.Error("no traces or counters without privileges", "error", err)
	}
	if err := run(ctx, os.Getenv); err != nil {
		log.Error("go-backend cannot go on", "error", err)
		os.Exit(1)
	}
}

// run serves until the context ends or a listener fails.
func run(ctx context.Context, getenv func(string) string) error {
	cfg, err := config.Load(getenv)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	slog.SetDefault(log)

	httpListener, err := listen("HTTP_ADDRESS", cfg.HTTPAddress)
	if err != nil {
		return err
	}
	defer httpListener.Close()
	grpcListener, err := listen("GRPC_ADDRESS", cfg.GRPCAddress)
	if err != nil {
		return err
	}
	defer grpcListener.Close()

	root, file := dataplane.NewRoot(cfg.PinRoot), object.Open(cfg.ObjectPath)
	traces := tracer.New(root, file)
	defer traces.Close()
	health := control.NewHealth(control.SurveyCheck(root, file), log)
	rpcMetrics := grpcprometheus.NewServerMetrics(grpcprometheus.WithServerHandlingTimeHistogram())
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics.NewCollector(root, file, log), rpcMetrics)

	grpcServer := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(128),
		grpc.ConnectionTimeout(5*time.Second),
		// What is caught is counted: a call that panicked is an internal error like others.
		grpc.ChainUnaryInterceptor(rpcMetrics.UnaryServerInterceptor(), control.RecoverUnary()),
		grpc.ChainStreamInterceptor(rpcMetrics.StreamServerInterceptor(), control.RecoverStream()),
	)
	tripodv1.RegisterBackendServiceServer(grpcServer, control.NewServer(root, file, traces, log))
	grpc_health_v1.RegisterHealthServer(grpcServer, health)
	rpcMetrics.InitializeMetrics(grpcServer)
	httpServer := &http.Server{
		Handler:           control.HTTPHandler(health, metrics.Handler(registry, log)),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go health.Run(ctx, refreshEvery)
	go releaseTwins(ctx, root, traces)
	failed := make(chan error, 2)
	go func() { failed <- fmt.Errorf("serve gRPC on %s: %w", cfg.GRPCAddress, grpcServer.Serve(grpcListener)) }()
	go func() { failed <- fmt.Errorf("serve HTTP on %s: %w", cfg.HTTPAddress, httpServer.Serve(httpListener)) }()
	log.Info("serving", "version", version, "http", cfg.HTTPAddress, "grpc", cfg.GRPCAddress,
		"pin_root", cfg.PinRoot, "object", cfg.ObjectPath)

	select {
	case err = <-failed:
	case <-ctx.Done():
		log.Info("stopping")
	}
	health.Shutdown()
	return errors.Join(err, shutdown(grpcServer, httpServer))
}

// listen fails early and says which variable to change: a taken port must not show as a missing service later.
func listen(variable, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: free the port, or set %s to another", variable, err, variable)
	}
	return listener, nil
}

// releaseTwins lets go of the twins of interfaces that have lost their pins.
func releaseTwins(ctx context.Context, root dataplane.Root, traces *tracer.Tracer) {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = rescue.Do("release of twins", func() error {
				names, err := root.Interfaces()
				// Where the root cannot be read, health says so; the twins stay for when it can.
				if err == nil {
					traces.Keep(names)
				}
				return err
			})
		}
	}
}

// shutdown lets calls under way finish, but not for ever: a client that watches the health never ends its call.
func shutdown(grpcServer *grpc.Server, httpServer *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	force := context.AfterFunc(ctx, grpcServer.Stop)
	defer force()
	grpcServer.GracefulStop()
	if err := httpServer.Shutdown(ctx); err != nil {
		return fmt.Errorf("stop HTTP: %w", err)
	}
	return nil
}
