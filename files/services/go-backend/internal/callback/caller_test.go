package callback

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/identity"
	"tripod/go-backend/internal/identity/identitytest"
)

// patience is far more than anything here takes, on a machine that is busy too.
const patience = 30 * time.Second

// api plays the API's side.
type api struct {
	tripodv1.UnimplementedCallbackServiceServer
	calls   chan *tripodv1.StartedRequest
	dropped chan *tripodv1.DroppedRequest
	away    atomic.Bool
	full    atomic.Bool
}

func (a *api) Dropped(_ context.Context, request *tripodv1.DroppedRequest) (*tripodv1.DroppedResponse, error) {
	if a.away.Load() || a.full.Load() {
		return nil, status.Error(codes.Unavailable, "the database does not serve")
	}
	a.dropped <- request
	return &tripodv1.DroppedResponse{}, nil
}

func (a *api) Started(_ context.Context, request *tripodv1.StartedRequest) (*tripodv1.StartedResponse, error) {
	if a.away.Load() {
		return nil, status.Error(codes.Unavailable, "the database does not serve")
	}
	a.calls <- request
	return &tripodv1.StartedResponse{GivenBack: []string{"edge"}}, nil
}

// listen serves at an address; of port 0 at any.
func (a *api) listen(t *testing.T, who *identity.Identity, address string) (string, *grpc.Server) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(who.Server("go-backend.edge1"))))
	tripodv1.RegisterCallbackServiceServer(server, a)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String(), server
}

func open(t *testing.T, directory string) *identity.Identity {
	t.Helper()
	who, err := identity.Open(directory, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// call runs a caller until the test ends, and returns it with what it logs.
func call(t *testing.T, target string, who *identity.Identity) (*Caller, *strings.Builder) {
	t.Helper()
	words := &strings.Builder{}
	caller, err := New(target, "1.2.3", who.Calls("flask-backend"), slog.New(slog.NewTextHandler(words, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		caller.Run(ctx)
	}()
	t.Cleanup(func() {
		began := time.Now()
		stop()
		<-ended
		if took := time.Since(began); took > patience/6 {
			t.Errorf("it took %s to end", took)
		}
	})
	return caller, words
}

func (a *api) expect(t *testing.T) {
	t.Helper()
	select {
	case request := <-a.calls:
		if request.GetVersion() != "1.2.3" || len(request.GetBootId()) != 36 {
			t.Errorf("told %v", request)
		}
	case <-time.After(patience):
		t.Fatal("nobody called")
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatal(what)
		}
	}
}

func TestTheAPIIsToldAtTheStartAndWheneverItComesBack(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	who := open(t, authority.Directory(t, "flask-backend"))
	served := &api{calls: make(chan *tripodv1.StartedRequest, 100)}
	address, server := served.listen(t, who, "127.0.0.1:0")
	caller, _ := call(t, address, open(t, authority.Directory(t, "go-backend.edge1")))
	served.expect(t)
	eventually(t, "it is not closed", func() bool {
		told, failed := caller.Counts()
		return told == 1 && failed == 0 && caller.State() == "closed"
	})
	server.Stop()
	eventually(t, "it does not open", func() bool { return caller.State() == "open" })
	served.listen(t, who, address)
	served.expect(t)
	eventually(t, "it does not close", func() bool { return caller.State() == "closed" })
	// What is told is told once for each time.
	time.Sleep(2 * firstWait)
	if told, failed := caller.Counts(); told != 2 || failed < failuresToOpen || len(served.calls) != 0 {
		t.Errorf("told %d times, failed %d times, %d more", told, failed, len(served.calls))
	}
}

func TestAnAPIThatCannotLookNowIsToldAgain(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	served := &api{calls: make(chan *tripodv1.StartedRequest, 100)}
	served.away.Store(true)
	address, _ := served.listen(t, open(t, authority.Directory(t, "flask-backend")), "127.0.0.1:0")
	caller, _ := call(t, address, open(t, authority.Directory(t, "go-backend.edge1")))
	eventually(t, "it does not open", func() bool { return caller.State() == "open" })
	served.away.Store(false)
	served.expect(t)
}

func TestWhoIsNotTheAPIIsToldNothing(t *testing.T) {
	authority, other := identitytest.NewAuthority(t), identitytest.NewAuthority(t)
	for name, directory := range map[string]func(string){
		"another service":   func(path string) { authority.Write(t, path, "webui", time.Now().Add(time.Hour), authority) },
		"another authority": func(path string) { other.Write(t, path, "flask-backend", time.Now().Add(time.Hour), authority) },
		"ended": func(path string) {
			authority.Write(t, path, "flask-backend", time.Now().Add(-time.Minute), authority)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			directory(path)
			served := &api{calls: make(chan *tripodv1.StartedRequest, 100)}
			address, _ := served.listen(t, open(t, path), "127.0.0.1:0")
			caller, _ := call(t, address, open(t, authority.Directory(t, "go-backend.edge1")))
			eventually(t, "it does not open", func() bool { return caller.State() == "open" })
			if told, _ := caller.Counts(); told != 0 || len(served.calls) != 0 {
				t.Errorf("told %d times", told)
			}
		})
	}
}

func TestARenewedCertificateIsShownWithTheNextConnection(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	who := open(t, authority.Directory(t, "flask-backend"))
	served := &api{calls: make(chan *tripodv1.StartedRequest, 100)}
	address, _ := served.listen(t, who, "127.0.0.1:0")
	own := t.TempDir()
	authority.Write(t, own, "go-backend.edge1", time.Now().Add(-time.Minute), authority)
	caller, _ := call(t, address, open(t, own))
	eventually(t, "one that has ended is taken", func() bool { _, failed := caller.Counts(); return failed > 0 })
	authority.Write(t, own, "go-backend.edge1", time.Now().Add(time.Hour), authority)
	served.expect(t)
}

func TestOneThatIsSilentIsLeftAlone(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	caller, _ := call(t, listener.Addr().String(), open(t, authority.Directory(t, "go-backend.edge1")))
	time.Sleep(firstWait)
	if told, failed := caller.Counts(); told != 0 || failed != 0 || caller.State() != "closed" {
		t.Errorf("told %d times, failed %d times, %s", told, failed, caller.State())
	}
	// Its end waits for nobody: see call.
}

func packets(from, to uint32) []*tripodv1.DroppedPacket {
	var made []*tripodv1.DroppedPacket
	for number := from; number < to; number++ {
		made = append(made, &tripodv1.DroppedPacket{Length: number})
	}
	return made
}

func TestPacketsAreHandedOnInBatchesAndWhatIsNotTakenIsLost(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	served := &api{calls: make(chan *tripodv1.StartedRequest, 100), dropped: make(chan *tripodv1.DroppedRequest, 100)}
	address, _ := served.listen(t, open(t, authority.Directory(t, "flask-backend")), "127.0.0.1:0")
	caller, _ := call(t, address, open(t, authority.Directory(t, "go-backend.edge1")))
	expect := func(from, to uint32, lost uint64) {
		t.Helper()
		select {
		case got := <-served.dropped:
			n := len(got.GetPackets())
			if n != int(to-from) || got.GetLost() != lost || n > 0 && (got.GetPackets()[0].GetLength() != from || got.GetPackets()[n-1].GetLength() != to-1) {
				t.Fatalf("%d packets and %d lost, want %d to %d and %d", n, got.GetLost(), from, to, lost)
			}
		case <-time.After(patience):
			t.Fatal("nothing came")
		}
	}
	served.expect(t)
	// More than are kept: the newest are.
	caller.Dropped(packets(0, maxPending+200), 3)
	began := time.Now()
	expect(200, 200+maxBatch, 203)
	expect(200+maxBatch, maxPending+200, 0)
	if took := time.Since(began); took < droppedEvery/2 {
		t.Errorf("two batches came within %s", took)
	}
	// None is taken: it is told again that this service is there, and of the packets that they are lost.
	served.away.Store(true)
	caller.Dropped(packets(0, 10), 0)
	eventually(t, "it does not fail", func() bool { _, failed := caller.Counts(); return failed > 0 })
	served.away.Store(false)
	served.expect(t)
	caller.Dropped(packets(0, 1), 0)
	expect(0, 1, 10)
	eventually(t, "it is not counted", func() bool { told, lost := caller.Packets(); return told == maxPending+1 && lost == 213 })
}

func TestAnAPIThatTakesNoPacketsIsCalledLessAndLessOften(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	served := &api{calls: make(chan *tripodv1.StartedRequest, 100), dropped: make(chan *tripodv1.DroppedRequest, 100)}
	served.full.Store(true)
	address, _ := served.listen(t, open(t, authority.Directory(t, "flask-backend")), "127.0.0.1:0")
	caller, _ := call(t, address, open(t, authority.Directory(t, "go-backend.edge1")))
	eventually(t, "it does not open", func() bool {
		caller.Dropped(packets(0, 1), 0)
		return caller.State() == "open"
	})
	served.full.Store(false)
	eventually(t, "it does not close", func() bool {
		caller.Dropped(packets(0, 1), 0)
		return caller.State() == "closed" && len(served.dropped) > 0
	})
}

func TestPacketsForNobodyAreBounded(t *testing.T) {
	var p pending
	for range 100 {
		p.add(packets(0, 500), 0)
	}
	if _, gone := p.counts(); len(p.packets) != maxPending || gone != 100*500-maxPending || cap(p.packets) > 2*maxPending {
		t.Errorf("%d of %d are kept, %d are gone", len(p.packets), cap(p.packets), gone)
	}
}

func TestACircuitWaitsLongerAndLongerAndIsTriedOnce(t *testing.T) {
	var c circuit
	longest := firstWait
	for number := 1; number < 10; number++ {
		c.trying()
		if want := map[bool]string{false: "closed", true: "half-open"}[number > failuresToOpen]; c.State() != want {
			t.Errorf("before call %d it is %s", number, c.State())
		}
		wait := c.failed()
		if wait < longest/2 || wait > longest {
			t.Errorf("after failure %d it waits %s of %s", number, wait, longest)
		}
		if want := map[bool]string{false: "closed", true: "open"}[number >= failuresToOpen]; c.State() != want {
			t.Errorf("after failure %d it is %s", number, c.State())
		}
		longest = min(2*longest, mostWait)
	}
	c.succeeded()
	if wait := c.failed(); c.State() != "closed" || wait > firstWait {
		t.Errorf("it is %s, and waits %s", c.State(), wait)
	}
}
