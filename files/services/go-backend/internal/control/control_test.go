package control_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/control"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/rescue"
	"tripod/go-backend/internal/tracer"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// serve runs a gRPC server in this process and returns a connection to it.
func serve(t *testing.T, register func(*grpc.Server), options ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(options...)
	register(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient("passthrough:///here",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

func backend(t *testing.T, root, objectPath string) tripodv1.BackendServiceClient {
	t.Helper()
	pins, file := dataplane.NewRoot(root), object.Open(objectPath)
	traces := tracer.New(pins, file)
	t.Cleanup(traces.Close)
	return tripodv1.NewBackendServiceClient(serve(t, func(server *grpc.Server) {
		tripodv1.RegisterBackendServiceServer(server, control.NewServer(pins, file, traces, silent))
	}))
}

func TestProcessData(t *testing.T) {
	h := bpftest.NewHost(t)
	client := backend(t, h.Root, bpftest.Object(t))
	first := h.AddInterface()
	h.Attach(first, nil)
	h.Rule(first, "192.0.2.0/24", bpftest.ActionDrop, bpftest.OwnerAPI)

	got, err := client.ProcessData(t.Context(), &tripodv1.DataRequest{Data: bpftest.UDP("192.0.2.77", 0)})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetDurationNs() == 0 || got.GetProgram().GetId() == 0 || len(got.GetProgram().GetTag()) != 16 {
		t.Errorf("got %v", got)
	}
	want := &tripodv1.DataResponse{
		Interface:  first,
		Verdict:    tripodv1.Verdict_VERDICT_DROP,
		Reason:     "acl_drop",
		Rule:       &tripodv1.Rule{Prefix: "192.0.2.0/24", Action: "drop", Owner: "api"},
		Program:    &tripodv1.Program{Id: got.GetProgram().GetId(), Name: "tripod_xdp", Tag: got.GetProgram().GetTag(), Mode: "native"},
		DurationNs: got.GetDurationNs(),
	}
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	second := h.AddInterface()
	h.Attach(second, nil)
	got, err = client.ProcessData(t.Context(), &tripodv1.DataRequest{Data: bpftest.UDP("192.0.2.77", 0), Interface: second})
	if err != nil || got.GetVerdict() != tripodv1.Verdict_VERDICT_PASS || got.Rule != nil {
		t.Errorf("an interface without this rule: %v, %v", got, err)
	}
}

func TestProcessDataRefuses(t *testing.T) {
	h := bpftest.NewHost(t)
	client := backend(t, h.Root, bpftest.Object(t))
	noObject := backend(t, h.Root, "/nonexistent/tripod_xdp.bpf.o")
	frame := bpftest.UDP("192.0.2.1", 0)
	refused := func(client tripodv1.BackendServiceClient, request *tripodv1.DataRequest, code codes.Code, says string) {
		t.Helper()
		_, err := client.ProcessData(t.Context(), request)
		if status.Code(err) != code || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %s with %q", err, code, says)
		}
	}
	refused(client, &tripodv1.DataRequest{Data: frame}, codes.NotFound, "attach a program first")
	refused(client, &tripodv1.DataRequest{Data: frame, Interface: "absent"}, codes.NotFound, "absent")

	first := h.AddInterface()
	h.Attach(first, nil)
	refused(client, &tripodv1.DataRequest{}, codes.InvalidArgument, "14")
	refused(client, &tripodv1.DataRequest{Data: make([]byte, 13)}, codes.InvalidArgument, "14")
	refused(client, &tripodv1.DataRequest{Data: make([]byte, 9000)}, codes.InvalidArgument, "9000 bytes are more than the")
	refused(client, &tripodv1.DataRequest{Data: frame, Interface: "../" + first}, codes.NotFound, first)
	refused(noObject, &tripodv1.DataRequest{Data: frame}, codes.FailedPrecondition, "/nonexistent/tripod_xdp.bpf.o")

	second := h.AddInterface()
	h.Attach(second, nil)
	refused(client, &tripodv1.DataRequest{Data: frame}, codes.InvalidArgument, first+", "+second)

	h.AttachProgram(second, h.Foreign(), 0)
	refused(client, &tripodv1.DataRequest{Data: frame, Interface: second}, codes.NotFound, second)
}

func TestGetStats(t *testing.T) {
	h := bpftest.NewHost(t)
	client := backend(t, h.Root, bpftest.Object(t))
	got, err := client.GetStats(t.Context(), &tripodv1.StatsRequest{})
	if err != nil || len(got.GetInterfaces()) != 0 || time.Since(got.GetTimestamp().AsTime()).Abs() > time.Minute {
		t.Fatalf("nothing managed yet: %v, %v", got, err)
	}
	first, second, gone := h.AddInterface(), h.AddInterface(), h.AddInterface()
	for _, name := range []string{first, second, gone} {
		h.Attach(name, nil)
	}
	h.RemoveInterface(gone)
	h.Rule(first, "2001:db8::/64", bpftest.ActionDrop, bpftest.OwnerInventory)
	frame := bpftest.UDP("2001:db8::5", 10)
	h.Send(first, frame, 21)

	got, err = client.GetStats(t.Context(), &tripodv1.StatsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.GetInterfaces()) != 2 || len(got.GetProblems()) != 1 {
		t.Fatalf("got %v", got)
	}
	if p := got.GetProblems()[0]; p.GetInterface() != gone || p.GetState() != "absent" || !strings.Contains(p.GetProblem(), gone) {
		t.Errorf("got %v", p)
	}
	want := &tripodv1.Counter{Verdict: tripodv1.Verdict_VERDICT_DROP, Reason: "acl_drop", Packets: 21, Bytes: 21 * uint64(len(frame))}
	busy, idle := got.GetInterfaces()[0], got.GetInterfaces()[1]
	if busy.GetName() != first || busy.GetMode() != "native" || len(busy.GetCounters()) != 1 || !proto.Equal(busy.GetCounters()[0], want) {
		t.Errorf("got %v, want one counter %v", busy, want)
	}
	if idle.GetName() != second || len(idle.GetCounters()) != 0 || idle.GetProgram().GetId() == busy.GetProgram().GetId() {
		t.Errorf("got %v", idle)
	}
}

// stats returns the counters by interface, verdict and reason, and the problems by interface and state.
func stats(t *testing.T, client tripodv1.BackendServiceClient) (counts map[string]uint64, problems map[string]string) {
	t.Helper()
	got, err := client.GetStats(t.Context(), &tripodv1.StatsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	counts, problems = make(map[string]uint64), make(map[string]string)
	for _, one := range got.GetInterfaces() {
		for _, counter := range one.GetCounters() {
			counts[one.GetName()+" "+counter.GetVerdict().String()+" "+counter.GetReason()] = counter.GetPackets()
		}
	}
	for _, problem := range got.GetProblems() {
		problems[problem.GetInterface()+" "+problem.GetState()] = problem.GetProblem()
	}
	return counts, problems
}

func TestCountersOutliveTheObject(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	h.Rule(name, "192.0.2.0/24", bpftest.ActionDrop, bpftest.OwnerAPI)
	h.Send(name, bpftest.UDP("192.0.2.1", 0), 4)
	path := filepath.Join(t.TempDir(), "object.o")
	client := backend(t, h.Root, path)
	expect := func(reason string, object bool) {
		t.Helper()
		counts, problems := stats(t, client)
		if len(counts) != 1 || counts[name+" VERDICT_DROP "+reason] != 4 {
			t.Errorf("got %v, want 4 of %s", counts, reason)
		}
		if says, bad := problems[" object_unusable"]; bad == object || bad && !strings.Contains(says, path) || len(problems) > 1 {
			t.Errorf("got %v", problems)
		}
	}
	expect("unknown_2", false)
	if err := os.Symlink(bpftest.Object(t), path); err != nil {
		t.Fatal(err)
	}
	expect("acl_drop", true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("acl_drop", false)
}

func TestOneBrokenInterfaceDoesNotSilenceTheOthers(t *testing.T) {
	h := bpftest.NewHost(t)
	sound, blind, half := h.AddInterface(), h.AddInterface(), h.AddInterface()
	for _, name := range []string{sound, blind, half} {
		h.Attach(name, nil)
		h.Send(name, bpftest.UDP("192.0.2.1", 0), 2)
	}
	for _, path := range []string{h.Map(blind, object.CountersName), h.Map(half, "acl_v6")} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(h.Root, "\xff\xfe"), 0o755); err != nil {
		t.Fatal(err)
	}
	client := backend(t, h.Root, bpftest.Object(t))
	counts, problems := stats(t, client)
	for _, name := range []string{sound, half} {
		if counts[name+" VERDICT_PASS no_rule"] != 2 {
			t.Errorf("%s is missing from %v", name, counts)
		}
	}
	if len(counts) != 2 || len(problems) != 3 || !strings.Contains(problems[" unexpected"], `"\xff\xfe"`) ||
		!strings.Contains(problems[blind+" damaged"], object.CountersName) || !strings.Contains(problems[half+" damaged"], "acl_v6") {
		t.Errorf("got %v, %q", counts, problems)
	}
	// What is broken is refused with words of its own: an internal error would count against the service as a whole.
	_, err := client.ProcessData(t.Context(), &tripodv1.DataRequest{Data: bpftest.UDP("192.0.2.1", 0), Interface: half})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "acl_v6") {
		t.Errorf("got %v", err)
	}
}

func TestAPinRootThatIsGoneIsSaid(t *testing.T) {
	client := backend(t, filepath.Join(t.TempDir(), "absent"), bpftest.Object(t))
	counts, problems := stats(t, client)
	if len(counts) != 0 || len(problems) != 1 || !strings.Contains(problems[" unreadable"], "make it on the host") {
		t.Errorf("got %v, %v", counts, problems)
	}
	_, err := client.ProcessData(t.Context(), &tripodv1.DataRequest{Data: bpftest.UDP("192.0.2.1", 0)})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "make it on the host") {
		t.Errorf("got %v", err)
	}
}

func TestAnArmedGuardLeavesTheOnlyInterfaceTheOnlyOne(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	if err := os.MkdirAll(filepath.Join(h.Root, name+"~0badcafe", "pins", "maps"), 0o755); err != nil {
		t.Fatal(err)
	}
	client := backend(t, h.Root, bpftest.Object(t))
	got, err := client.ProcessData(t.Context(), &tripodv1.DataRequest{Data: bpftest.UDP("192.0.2.1", 0)})
	if err != nil || got.GetInterface() != name {
		t.Errorf("got %v, %v", got, err)
	}
	if _, problems := stats(t, client); len(problems) > 0 {
		t.Errorf("got %v", problems)
	}
}

func TestHealthIsLookedUpAndNotRemembered(t *testing.T) {
	var broken atomic.Bool
	health := control.NewHealth(func(context.Context) (string, error) {
		if broken.Load() {
			return "", errors.New("pins are gone")
		}
		return "", nil
	}, silent)
	connection := serve(t, func(server *grpc.Server) { grpc_health_v1.RegisterHealthServer(server, health) })
	client := grpc_health_v1.NewHealthClient(connection)
	web := httptest.NewServer(control.HTTPHandler(health, http.NotFoundHandler()))
	defer web.Close()
	watch, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		broken bool
		want   grpc_health_v1.HealthCheckResponse_ServingStatus
		ready  int
	}{
		{false, grpc_health_v1.HealthCheckResponse_SERVING, http.StatusOK},
		{true, grpc_health_v1.HealthCheckResponse_NOT_SERVING, http.StatusServiceUnavailable},
		{false, grpc_health_v1.HealthCheckResponse_SERVING, http.StatusOK},
	} {
		broken.Store(test.broken)
		for _, service := range []string{"", "tripod.v1.BackendService"} {
			got, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
			if err != nil || got.GetStatus() != test.want {
				t.Errorf("%q: got %v, %v, want %v", service, got, err, test.want)
			}
		}
		if got, err := watch.Recv(); err != nil || got.GetStatus() != test.want {
			t.Errorf("watch: got %v, %v, want %v", got, err, test.want)
		}
		for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": test.ready} {
			response, err := http.Get(web.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s: %s %s, want %d", path, response.Status, body, want)
			}
		}
	}
	if _, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "absent"}); status.Code(err) != codes.NotFound {
		t.Errorf("unknown service: %v", err)
	}
}

func TestHealthFollowsPinsAndObject(t *testing.T) {
	h := bpftest.NewHost(t)
	path := filepath.Join(t.TempDir(), "object.o")
	health := control.NewHealth(control.SurveyCheck(dataplane.NewRoot(h.Root), object.Open(path)), silent)
	if err := health.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("without an object: %v", err)
	}
	if err := os.Symlink(bpftest.Object(t), path); err != nil {
		t.Fatal(err)
	}
	if err := health.Refresh(t.Context()); err != nil {
		t.Errorf("nothing managed yet: %v", err)
	}
	name := h.AddInterface()
	h.Attach(name, nil)
	if err := health.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(h.Map(name, object.CountersName)); err != nil {
		t.Fatal(err)
	}
	if err := health.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), object.CountersName) {
		t.Errorf("without a pin of the counters: %v", err)
	}
}

func TestOneWhoHangsUpDoesNotChangeTheStatus(t *testing.T) {
	// As a check does that waits for a replacement to settle.
	health := control.NewHealth(func(ctx context.Context) (string, error) { return "", ctx.Err() }, silent)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := health.Refresh(gone); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestOddEntriesAreLoggedOnceAndKeepNobodyFromWork(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	h.RemoveInterface(name)
	if err := os.Mkdir(filepath.Join(h.Root, "\xff\xfe"), 0o755); err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	check := control.SurveyCheck(dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
	health := control.NewHealth(check, slog.New(slog.NewJSONHandler(&logged, nil)))
	for range 3 {
		if err := health.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
	text := logged.String()
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, `\\xff\\xfe`) || !strings.Contains(text, name) {
		t.Errorf("logged:\n%s", text)
	}
}

func TestAPanicInTheCheckIsABadStateAndNoCrash(t *testing.T) {
	health := control.NewHealth(func(context.Context) (string, error) { panic("defect") }, silent)
	client := grpc_health_v1.NewHealthClient(serve(t, func(server *grpc.Server) { grpc_health_v1.RegisterHealthServer(server, health) }))
	got, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("got %v, %v", got, err)
	}
}

// defective panics in every call.
type defective struct {
	tripodv1.UnimplementedBackendServiceServer
	grpc_health_v1.UnimplementedHealthServer
}

func (defective) GetStats(context.Context, *tripodv1.StatsRequest) (*tripodv1.StatsResponse, error) {
	panic("defect")
}

func (defective) Watch(*grpc_health_v1.HealthCheckRequest, grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	panic("defect")
}

func TestAPanicInACallIsAnErrorAndNoCrash(t *testing.T) {
	connection := serve(t, func(server *grpc.Server) {
		tripodv1.RegisterBackendServiceServer(server, defective{})
		grpc_health_v1.RegisterHealthServer(server, defective{})
	}, grpc.UnaryInterceptor(control.RecoverUnary()), grpc.StreamInterceptor(control.RecoverStream()))
	before := rescue.Caught()
	_, err := tripodv1.NewBackendServiceClient(connection).GetStats(t.Context(), &tripodv1.StatsRequest{})
	if status.Code(err) != codes.Internal {
		t.Errorf("got %v", err)
	}
	watch, err := grpc_health_v1.NewHealthClient(connection).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); status.Code(err) != codes.Internal {
		t.Errorf("got %v", err)
	}
	if caught := rescue.Caught() - before; caught != 2 {
		t.Errorf("counted %d", caught)
	}
}
