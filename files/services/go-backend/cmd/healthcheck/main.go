// Command healthcheck asks the go-backend of the same environment whether it is healthy.
// It exits 0 when the process answers /healthz and its gRPC health is SERVING, and 1 with the reason otherwise.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"tripod/go-backend/internal/config"
	"tripod/go-backend/internal/identity"
)

// timeout is for both questions together; Docker's own is set longer, so that the reason gets printed.
const timeout = 3 * time.Second

func main() {
	if err := run(os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(getenv func(string) string) error {
	cfg, err := config.Load(getenv)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	address := config.DialAddress(cfg.HTTPAddress)
	if err := checkHTTP(ctx, address, "/healthz"); err != nil {
		return err
	}
	with, err := clientCredentials(cfg.TLSDirectory)
	if err != nil {
		return err
	}
	err = checkGRPC(ctx, config.DialAddress(cfg.GRPCAddress), with)
	if errors.Is(err, errNotServing) {
		// The engine keeps what is printed here, so the reason belongs into it.
		return errors.Join(err, checkHTTP(ctx, address, "/readyz"))
	}
	return err
}

// errNotServing is the answer of a service that lives and cannot do its work.
var errNotServing = errors.New("not serving")

func checkHTTP(ctx context.Context, address, path string) error {
	url := "http://" + address + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	// Without a transport of its own the client would obey HTTP_PROXY and ask the proxy for a loopback address.
	client := http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 2048))
		return fmt.Errorf("%s: %s: %s", url, response.Status, text)
	}
	return nil
}

// clientCredentials are the service's own, which it takes calls from, too.
func clientCredentials(directory string) (credentials.TransportCredentials, error) {
	if directory == "" {
		return insecure.NewCredentials(), nil
	}
	who, err := identity.Open(directory, slog.Default())
	if err != nil {
		return nil, fmt.Errorf("TLS_DIRECTORY: %w", err)
	}
	return credentials.NewTLS(who.Client(who.Name())), nil
}

func checkGRPC(ctx context.Context, address string, with credentials.TransportCredentials) error {
	// passthrough and no proxy, for the same reason as above.
	connection, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(with), grpc.WithNoProxy())
	if err != nil {
		return fmt.Errorf("gRPC %s: %w", address, err)
	}
	defer connection.Close()
	answer, err := grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("gRPC health of %s: %w", address, err)
	}
	if answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("%w: gRPC health of %s is %s", errNotServing, address, answer.Status)
	}
	return nil
}
