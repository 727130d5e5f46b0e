package control_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
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
	"tripod/go-backend/internal/agent"
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

// slot is where the only list of these tests is counted.
const slot = 7

// backend serves what lies under root, without an agent.
func backend(t *testing.T, root, objectPath string) tripodv1.BackendServiceClient {
	t.Helper()
	return backendOf(t, root, objectPath, agent.New("/nonexistent/policy.sock"))
}

func backendOf(t *testing.T, root, objectPath string, host *agent.Client) tripodv1.BackendServiceClient {
	t.Helper()
	pins, file := dataplane.NewRoot(root), object.Open(objectPath)
	traces := tracer.New(pins, file)
	t.Cleanup(traces.Close)
	return tripodv1.NewBackendServiceClient(serve(t, func(server *grpc.Server) {
		tripodv1.RegisterBackendServiceServer(server, control.NewServer(pins, file, traces, agent.NewNames(host), silent))
	}))
}

func TestProcessData(t *testing.T) {
	h := bpftest.NewHost(t)
	client := backend(t, h.Root, bpftest.Object(t))
	first := h.AddInterface()
	h.Attach(first, nil)
	h.SetPolicy(first, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16"))

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
		Reason:     "list_drop",
		Path:       []*tripodv1.Step{{Part: "list", Id: "slot 7", Says: "drop"}},
		Program:    &tripodv1.Program{Id: got.GetProgram().GetId(), Name: "tripod_xdp", Tag: got.GetProgram().GetTag(), Mode: "native"},
		DurationNs: got.GetDurationNs(),
	}
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	second := h.AddInterface()
	h.Attach(second, nil)
	got, err = client.ProcessData(t.Context(), &tripodv1.DataRequest{Data: bpftest.UDP("192.0.2.77", 0), Interface: second})
	if err != nil || got.GetVerdict() != tripodv1.Verdict_VERDICT_PASS || len(got.GetPath()) != 1 {
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
	h.SetPolicy(first, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "2001:c00::/22"))
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
	want := &tripodv1.Counter{Verdict: tripodv1.Verdict_VERDICT_DROP, Reason: "list_drop", Packets: 21, Bytes: 21 * uint64(len(frame))}
	busy, idle := got.GetInterfaces()[0], got.GetInterfaces()[1]
	if busy.GetName() != first || busy.GetMode() != "native" || len(busy.GetCounters()) != 1 || !proto.Equal(busy.GetCounters()[0], want) {
		t.Errorf("got %v, want one counter %v", busy, want)
	}
	if idle.GetName() != second || len(idle.GetCounters()) != 0 || idle.GetProgram().GetId() == busy.GetProgram().GetId() {
		t.Errorf("got %v", idle)
	}
}

func TestPartsHaveTheNamesThatTheAgentTells(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	h.SetPolicy(name, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16").Rule(8, bpftest.ActionDrop, true))
	frame := bpftest.UDP("192.0.2.1", 0)
	h.Send(name, frame, 3)
	h.Send(name, bpftest.UDP("203.0.113.1", 0), 2)
	host := answering(t, `{"interfaces": {"`+name+`": [{"slot": 7, "part": "list", "id": "bogons"},
		{"slot": 8, "part": "rule", "id": "no-udp"}, {"slot": 9, "part": "service", "id": "web"}]}}`)
	client := backendOf(t, h.Root, bpftest.Object(t), host)

	stats, err := client.GetStats(t.Context(), &tripodv1.StatsRequest{})
	if err != nil || len(stats.GetInterfaces()) != 1 || stats.GetInterfaces()[0].GetParts() != nil {
		t.Errorf("nobody asked for parts: %v, %v", stats, err)
	}
	stats, err = client.GetStats(t.Context(), &tripodv1.StatsRequest{Parts: true})
	if err != nil {
		t.Fatal(err)
	}
	got := stats.GetInterfaces()[0].GetParts()
	want := []*tripodv1.PartCounter{
		{Part: "list", Id: "bogons", Packets: 3, Bytes: 3 * uint64(len(frame))},
		{Part: "rule", Id: "no-udp", ObservedPackets: 2, ObservedBytes: 2 * uint64(len(frame))},
		{Part: "service", Id: "web"},
	}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i, one := range got {
		if met := i < 2; met != (one.GetLast() != nil) || met && time.Since(one.GetLast().AsTime()).Abs() > 10*time.Second {
			t.Errorf("%s: last %v", one.GetId(), one.GetLast())
		}
		one.Last = nil
		if !proto.Equal(one, want[i]) {
			t.Errorf("got %v, want %v", one, want[i])
		}
	}

	traced, err := client.ProcessData(t.Context(), &tripodv1.DataRequest{Data: bpftest.UDP("203.0.113.1", 0)})
	if err != nil || traced.GetWould() != tripodv1.Verdict_VERDICT_DROP || traced.GetWouldReason() != "rule_drop" {
		t.Fatalf("got %v, %v", traced, err)
	}
	steps := []*tripodv1.Step{{Part: "rule", Id: "no-udp", Says: "drop", Observed: true}, {Part: "default", Says: "pass"}}
	for i, step := range traced.GetPath() {
		if len(traced.GetPath()) != len(steps) || !proto.Equal(step, steps[i]) {
			t.Errorf("got %v", traced.GetPath())
		}
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
	h.SetPolicy(name, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16"))
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
	expect("list_drop", true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("list_drop", false)
}

func TestOneBrokenInterfaceDoesNotSilenceTheOthers(t *testing.T) {
	h := bpftest.NewHost(t)
	sound, blind, half := h.AddInterface(), h.AddInterface(), h.AddInterface()
	for _, name := range []string{sound, blind, half} {
		h.Attach(name, nil)
		h.Send(name, bpftest.UDP("192.0.2.1", 0), 2)
	}
	for _, path := range []string{h.Map(blind, object.CountersName), h.Map(half, "bans")} {
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
		!strings.Contains(problems[blind+" damaged"], object.CountersName) || !strings.Contains(problems[half+" damaged"], "bans") {
		t.Errorf("got %v, %q", counts, problems)
	}
	// What is broken is refused with words of its own: an internal error would count against the service as a whole.
	_, err := client.ProcessData(t.Context(), &tripodv1.DataRequest{Data: bpftest.UDP("192.0.2.1", 0), Interface: half})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "bans") {
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
