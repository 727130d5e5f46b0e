package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/identity"
	"tripod/go-backend/internal/identity/identitytest"
)

// called plays the API's side.
type called struct {
	tripodv1.UnimplementedCallbackServiceServer
	started chan *tripodv1.StartedRequest
	dropped chan *tripodv1.DroppedRequest
}

func (c *called) Started(_ context.Context, request *tripodv1.StartedRequest) (*tripodv1.StartedResponse, error) {
	c.started <- request
	return &tripodv1.StartedResponse{}, nil
}

func (c *called) Dropped(_ context.Context, request *tripodv1.DroppedRequest) (*tripodv1.DroppedResponse, error) {
	c.dropped <- request
	return &tripodv1.DroppedResponse{}, nil
}

func TestTheAPIIsToldOfTheStartAndOfWhatIsDropped(t *testing.T) {
	host := bpftest.NewHost(t)
	name := host.AddInterface()
	host.Attach(name, nil)
	host.SetPolicy(name, bpftest.NewPolicy().List(7, bpftest.ActionDrop, "192.0.0.0/16"))
	host.Tap(name, 0)

	authority := identitytest.NewAuthority(t)
	who, err := identity.Open(authority.Directory(t, api), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := &called{started: make(chan *tripodv1.StartedRequest, 10), dropped: make(chan *tripodv1.DroppedRequest, 10)}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(who.Server("go-backend"))))
	tripodv1.RegisterCallbackServiceServer(server, served)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	env := environment(t)
	env["XDP_PIN_ROOT"], env["XDP_OBJECT"] = host.Root, bpftest.Object(t)
	env["TLS_DIRECTORY"], env["CALLBACK_TARGETS"] = authority.Directory(t, "go-backend"), listener.Addr().String()
	_, stop := start(t, env)
	defer stop()
	select {
	case request := <-served.started:
		if request.GetVersion() != version {
			t.Errorf("told %v", request)
		}
	case <-time.After(bpftest.Patience):
		t.Fatal("it does not tell that it is there")
	}
	for began := time.Now(); ; {
		// What came before the ring was first looked at is not handed on.
		host.Send(name, bpftest.UDP("192.0.2.1", 20), 1)
		select {
		case request := <-served.dropped:
			packet := request.GetPackets()[0]
			if packet.GetInterface() != name || packet.GetReason() != "list_drop" || packet.GetDestinationPort() != 53 {
				t.Errorf("told %v", packet)
			}
			page, err := http.Get(fmt.Sprintf("http://%s/metrics", env["HTTP_ADDRESS"]))
			if err != nil || page.StatusCode != http.StatusOK {
				t.Errorf("metrics: %v", err)
			}
			page.Body.Close()
			return
		case <-time.After(100 * time.Millisecond):
			if time.Since(began) > bpftest.Patience {
				t.Fatal("nothing is handed on")
			}
		}
	}
}

// An API that is away is nobody's business but the caller's.
func TestAnAPIThatIsAwayKeepsNothingFromBeingServed(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	env := environment(t)
	env["TLS_DIRECTORY"], env["CALLBACK_TARGETS"] = authority.Directory(t, "go-backend"), freeAddress(t)
	who, err := identity.Open(authority.Directory(t, "go-backend"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, stop := start(t, env)
	defer stop()
	connection, err := grpc.NewClient("passthrough:///"+env["GRPC_ADDRESS"],
		grpc.WithTransportCredentials(who.Calls("go-backend")), grpc.WithNoProxy())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	expect(t, env, connection, grpc_health_v1.HealthCheckResponse_NOT_SERVING, http.StatusServiceUnavailable, map[string]string{
		"/healthz": "alive",
		"/metrics": fmt.Sprintf(`tripod_callback_started_total{api=%q} 0`, env["CALLBACK_TARGETS"]),
	})
}
