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
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/callback"
	"tripod/go-backend/internal/config"
	"tripod/go-backend/internal/control"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/identity"
	"tripod/go-backend/internal/metrics"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/privilege"
	"tripod/go-backend/internal/rescue"
	"tripod/go-backend/internal/samples"
	"tripod/go-backend/internal/tracer"
	"tripod/go-backend/internal/workers"
)

const (
	// refreshEvery is how late a watcher of the health, or the release of a gone interface's twin, may be.
	refreshEvery = 2 * time.Second
	// drainTimeout and shutdownTimeout are together below the 10 s after which Docker kills.
	drainTimeout    = 3 * time.Second
	shutdownTimeout = 5 * time.Second
	// maxMessage leaves room for a policy's part, and for any frame that a test run takes, with an error of ours for one that
	// is too long.
	maxMessage = 256 << 10
	// maxConnectionAge is after how long a client connects anew, and shows its certificate.
	maxConnectionAge = time.Hour
	// api is what the API's certificate is for.
	api = "flask-backend"
)

// version is set by the linker.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := privilege.Drop(os.Getenv("WORKERS_FILE") != ""); err != nil {
		log.Error("not everything can be done without privileges", "error", err)
	}
	if err := run(ctx, os.Getenv); err != nil {
		log.Error("go-backend cannot go on", "error", err)
		os.Exit(1)
	}
}

// run serves until the context ends or a listener fails.
func run(ctx context.Context, getenv func(string) string) error {
	// Before anything that somebody could see and send one for: until here a SIGHUP ends the process.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	cfg, err := config.Load(getenv)
	if err != nil {
		return err
	}
	log := slog.New(control.RequestIDs{Handler: slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel})})
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
	host := agent.New(cfg.PolicySocket)
	names := agent.NewNames(host)
	manager := workers.New(root, cfg.WorkersPath, log)
	health := control.NewHealth(control.AllChecks(control.SurveyCheck(root, file), control.WorkersCheck(manager)), log)
	rpcMetrics := grpcprometheus.NewServerMetrics(grpcprometheus.WithServerHandlingTimeHistogram())
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics.NewCollector(root, file, names, manager, log), metrics.NewWorkers(manager, log), rpcMetrics)

	listening, who, err := grpcCredentials(cfg, registry, log)
	if err != nil {
		return err
	}
	callers, err := newCallers(cfg, who, registry, log)
	if err != nil {
		return err
	}
	secret := control.NewSecret(cfg.PolicySecret)
	grpcServer := grpc.NewServer(
		grpc.Creds(listening),
		// A certificate that ends, or is trusted no more, is not good for ever to whom it connected. Calls under way go on.
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: maxConnectionAge}),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(128),
		grpc.ConnectionTimeout(5*time.Second),
		// What is caught is counted: a call that panicked is an internal error like others.
		grpc.ChainUnaryInterceptor(
			rpcMetrics.UnaryServerInterceptor(), control.NameUnary(log), control.RecoverUnary(), secret.Unary()),
		grpc.ChainStreamInterceptor(
			rpcMetrics.StreamServerInterceptor(), control.NameStream(log), control.RecoverStream(), secret.Stream()),
	)
	backend := control.NewServer(root, file, traces, names, log)
	tripodv1.RegisterBackendServiceServer(grpcServer, backend)
	tripodv1.RegisterPolicyServiceServer(grpcServer, control.NewPolicyServer(host, log))
	tripodv1.RegisterHostServiceServer(grpcServer, control.NewHostServer(host, log))
	tripodv1.RegisterDataPlaneServiceServer(grpcServer, control.NewDataPlaneServer(manager, log))
	grpc_health_v1.RegisterHealthServer(grpcServer, health)
	rpcMetrics.InitializeMetrics(grpcServer)
	httpServer := &http.Server{
		Handler:           control.HTTPHandler(health, metrics.Handler(registry, log), control.WorkersPage(manager)),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running := make(chan struct{})
	go func() {
		defer close(running)
		manager.Run(ctx, refreshEvery)
	}()
	go reloadOn(ctx, hangups, manager)
	go health.Run(ctx, refreshEvery)
	go backend.Record(ctx)
	go releaseTwins(ctx, root, traces)
	// Who is called asks this service in turn, which it listens for already.
	for _, caller := range callers {
		go caller.Run(ctx)
	}
	if len(callers) > 0 {
		go samples.NewWatcher(root, file, names, log).Run(ctx, func(packets []*tripodv1.DroppedPacket, lost uint64) {
			for _, caller := range callers {
				caller.Dropped(packets, lost)
			}
		})
	}
	failed := make(chan error, 2)
	go func() { failed <- fmt.Errorf("serve gRPC on %s: %w", cfg.GRPCAddress, grpcServer.Serve(grpcListener)) }()
	go func() { failed <- fmt.Errorf("serve HTTP on %s: %w", cfg.HTTPAddress, httpServer.Serve(httpListener)) }()
	log.Info("serving", "version", version, "http", cfg.HTTPAddress, "grpc", cfg.GRPCAddress,
		"pin_root", cfg.PinRoot, "object", cfg.ObjectPath, "policies", cfg.PolicySecret != "", "certificates", cfg.TLSDirectory, "workers", cfg.WorkersPath,
		"callbacks", cfg.CallbackTargets)

	select {
	case err = <-failed:
	case <-ctx.Done():
		log.Info("stopping")
	}
	cancel()
	health.Shutdown()
	// The packets of workers go to the network stack first, and what they have is handled, while metrics can still be read.
	<-running
	closeWorkers(manager, log)
	return errors.Join(err, shutdown(grpcServer, httpServer))
}

// grpcCredentials are what gRPC listens with, and who this service is: certificates of both sides, where the environment names a
// directory of them.
func grpcCredentials(
	cfg config.Config, registry *prometheus.Registry, log *slog.Logger,
) (credentials.TransportCredentials, *identity.Identity, error) {
	if cfg.TLSDirectory == "" {
		return insecure.NewCredentials(), nil, nil
	}
	who, err := identity.Open(cfg.TLSDirectory, log)
	if err != nil {
		return nil, nil, fmt.Errorf("TLS_DIRECTORY: %w", err)
	}
	// Its own name is that of the health check.
	used := who.Credentials(append(cfg.GRPCClients, who.Name())...)
	registry.MustRegister(metrics.NewCertificates(used))
	return used, who, nil
}

// newCallers are those of the APIs that the environment names; without certificates it names none.
func newCallers(
	cfg config.Config, who *identity.Identity, registry *prometheus.Registry, log *slog.Logger,
) ([]*callback.Caller, error) {
	var callers []*callback.Caller
	var told []metrics.Calling
	for _, target := range cfg.CallbackTargets {
		caller, err := callback.New(target, version, who.Calls(api), log)
		if err != nil {
			return nil, err
		}
		callers, told = append(callers, caller), append(told, caller)
	}
	registry.MustRegister(metrics.NewCallbacks(callback.States(), told...))
	return callers, nil
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
	rescue.Every(ctx, refreshEvery, "release of twins", func() error {
		names, err := root.Interfaces()
		// Where the root cannot be read, health says so; the twins stay for when it can.
		if err == nil {
			traces.Keep(names)
		}
		return err
	})
}

// reloadOn reads the file of workers again with each SIGHUP. What is wrong with it, health and the log say.
func reloadOn(ctx context.Context, hangups <-chan os.Signal, manager *workers.Manager) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			_ = rescue.Do("reload of workers", func() error { return manager.Reload(ctx) })
		}
	}
}

// closeWorkers lets workers drain, but not for ever: one whose handler does not return has no packets any more, as its watchdog
// sees to that, and the kernel takes its sockets with the process.
func closeWorkers(manager *workers.Manager, log *slog.Logger) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		manager.Close()
	}()
	select {
	case <-closed:
	case <-time.After(drainTimeout):
		log.Error("workers do not end, going on without")
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
