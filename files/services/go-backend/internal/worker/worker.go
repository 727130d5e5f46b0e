package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/privilege"
	"tripod/go-backend/internal/xsk"
)

// Config says what a worker does.
type Config struct {
	// Socket is served by the worker alone from Start on, and closed by it.
	Socket *xsk.Socket
	// Sockets is the XDP program's map that the socket is to be in (`xsks`).
	Sockets *ebpf.Map
	// Peer is a socket of another NIC that packets can be forwarded by, or nil: of the same group and pool as Socket, so that
	// a frame changes sides without a copy.
	Peer *xsk.Socket
	// PeerSockets is its program's map. With nil no packets come by the peer; with one they are handled as Socket's are.
	PeerSockets *ebpf.Map
	// Handler is the first; Use changes it.
	Handler Handler
	// CPU is the worker's, or AnyCPU.
	CPU int
	// Batch is how many packets are handled at once at most; 0 is DefaultBatch.
	Batch int
	// Spin looks for packets again and again instead of sleeping, which takes the whole CPU.
	Spin bool
	// Log gets what happens.
	Log *slog.Logger
}

// countEvery is how many turns a worker that is always busy takes before it looks where its frames are.
const countEvery = 256

// DefaultBatch is enough to share the price of a call, and short enough for a cache.
const DefaultBatch = 64

// CheckBatch says what is wrong with a number of packets that are handled at once.
func CheckBatch(packets int) error {
	if packets < xsk.MaxBuffers || packets > 4096 {
		return fmt.Errorf("batch of %d: %d to 4096 packets are possible", packets, xsk.MaxBuffers)
	}
	return nil
}

// Worker serves one queue. Its methods may be called from anywhere.
type Worker struct {
	config  Config
	log     *slog.Logger
	ports   []port // the worker's own, and its peer
	entries []xsk.Desc
	packets []Packet

	stage    atomic.Pointer[stage]
	turns    atomic.Uint64
	stopping atomic.Bool
	meter    meter
	rests    rests
	thread   int // set before the first packet
	finished chan struct{}

	panics time.Time // when one was last told of

	lock   sync.Mutex
	former []formerStage
	past   []Counts // of those that were former
	ended  bool
	result error
	busy   time.Duration // until it ended
}

// Start lets a worker serve its socket, on a thread that is its own. On error the socket is the caller's still.
func Start(config Config) (*Worker, error) {
	if config.Batch == 0 {
		config.Batch = DefaultBatch
	}
	if err := CheckBatch(config.Batch); err != nil {
		return nil, err
	}
	if err := config.checkPeer(); err != nil {
		return nil, err
	}
	first, err := newStage(config.Handler)
	if err != nil {
		return nil, err
	}
	w := &Worker{
		config: config, finished: make(chan struct{}),
		log:     config.Log.With("nic", config.Socket.NIC().Name, "queue", config.Socket.Queue()),
		ports:   config.ports(),
		entries: make([]xsk.Desc, config.Batch), packets: make([]Packet, config.Batch),
		meter: meter{began: time.Now()}, rests: rests{nap: config.nap()},
	}
	w.stage.Store(first)
	started := make(chan error)
	go w.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return w, nil
}

// run is the worker's thread. It ends with the thread, so that no other goroutine inherits its CPU.
func (w *Worker) run(started chan<- error) {
	runtime.LockOSThread()
	w.thread = unix.Gettid()
	if w.config.CPU != AnyCPU {
		if err := pin(w.thread, w.config.CPU); err != nil {
			started <- err
			return
		}
	}
	if err := errors.Join(wakeOnTime(), privilege.ForPackets(), w.Listen()); err != nil {
		started <- err
		return
	}
	started <- nil
	w.log.Info("worker started", "handler", w.stage.Load().handler.Name(), "mode", w.config.Socket.Mode().String())
	err := w.serve()
	// What it takes to end may take its time: whoever looks at the worker meanwhile does not wait.
	faults := []error{err, w.Divert()}
	w.drain()
	w.end(faults)
	close(w.finished)
}

// serve takes turns until the worker is to stop or a NIC is gone.
func (w *Worker) serve() error {
	for !w.stopping.Load() {
		n := w.turn()
		err := w.wake()
		w.rests.gathered += n
		if err == nil && n == 0 && !w.config.Spin {
			err = w.meter.sleep(w.rest)
		}
		if errors.Is(err, xsk.ErrDown) {
			// What was received can be handled all the same, and what is to be sent waits.
			_ = w.meter.sleep(pause)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// turn handles one batch of each port, beginning with another each time, and returns the number of entries. No more are taken
// than can be sent by any port: what the kernel is slow to send stays in its rings, where it counts what does not fit.
func (w *Worker) turn() int {
	turns := w.turns.Add(1)
	room := math.MaxInt
	for i := range w.ports {
		w.ports[i].socket.Reclaim()
		room = min(room, w.ports[i].socket.Room())
	}
	total := 0
	for i := range w.ports {
		from := (i + int(turns)) % len(w.ports)
		socket := w.ports[from].socket
		n := socket.Receive(w.entries[:min(len(w.entries), room)])
		if n > 0 {
			w.handle(from, w.entries[:n])
		}
		socket.Refill()
		total, room = total+n, room-n
	}
	if total == 0 && !w.config.Spin || turns%countEvery == 0 {
		w.count()
	}
	return total
}

// handle lets the handler judge the packets of some entries of a port, and does what it says.
func (w *Worker) handle(from int, entries []xsk.Desc) {
	stage := w.stage.Load()
	packets := w.assemble(from, entries)
	length := 0
	for i := range entries {
		length += int(entries[i].Len)
	}
	verdicts := w.judge(stage, packets)
	if verdicts[Send]+verdicts[Forward] == 0 {
		// What most handlers say of most batches is not looked at one by one again.
		w.config.Socket.Pool().PutEntries(entries)
	} else {
		w.dispatch(packets)
	}
	for verdict, n := range verdicts {
		if n > 0 {
			stage.verdicts[verdict].Add(uint64(n))
		}
	}
	stage.bytes.Add(uint64(length))
}

// assemble makes packets of the entries of a port.
func (w *Worker) assemble(from int, entries []xsk.Desc) []Packet {
	area, n := w.config.Socket.Area(), 0
	for i := 0; i < len(entries); i++ {
		packet := &w.packets[n]
		packet.begin(area, from, entries[i])
		if xsk.Continues(entries[i]) {
			first := i + 1
			for xsk.Continues(entries[i]) {
				i++
			}
			packet.rest = entries[first : i+1]
		} else if packet.rest != nil {
			packet.rest = nil
		}
		n++
	}
	return w.packets[:n]
}

// dispatch sends packets of a batch, or takes their frames back. There is room, as no more was received.
func (w *Worker) dispatch(packets []Packet) {
	pool := w.config.Socket.Pool()
	for i := range packets {
		packet := &packets[i]
		if packet.Verdict == Send || packet.Verdict == Forward {
			packet.entry.Addr, packet.entry.Len = packet.start(), uint32(len(packet.Data))
			by := &w.ports[packet.leaves()]
			by.sending = append(append(by.sending, packet.entry), packet.rest...)
			continue
		}
		pool.PutOne(packet.entry.Addr)
		pool.PutEntries(packet.rest)
	}
	for i := range w.ports {
		w.ports[i].socket.Transmit(w.ports[i].sending)
		w.ports[i].sending = w.ports[i].sending[:0]
	}
}

// tally is packets of a batch by verdict.
type tally [int(firstReason) + MaxReasons]uint32

// judge calls the handler. Where it panics the batch is dropped, as nobody knows how far it came.
func (w *Worker) judge(stage *stage, packets []Packet) (verdicts tally) {
	defer func() {
		if cause := recover(); cause != nil {
			w.tell(stage, cause)
			for i := range packets {
				packets[i].Verdict = panicked
			}
			verdicts = tally{panicked: uint32(len(packets))}
		}
	}()
	from := time.Since(w.meter.began)
	stage.handler.Handle(packets)
	w.meter.batch(from)
	for i := range packets {
		packet := &packets[i]
		if packet.Verdict > Forward && packet.Verdict < firstReason || packet.Verdict >= firstReason+MaxReasons {
			panic(fmt.Sprintf("verdict %d is none", packet.Verdict))
		}
		verdicts[packet.Verdict]++
		if packet.Verdict != Send && packet.Verdict != Forward {
			continue
		}
		if packet.leaves() >= len(w.ports) {
			panic("a packet is to be forwarded, and the worker has no peer")
		}
		if !packet.sendable() {
			panic("what is to be sent is not in the packet's frame")
		}
	}
	return verdicts
}

// tell writes of a panic, once a second at most.
func (w *Worker) tell(stage *stage, cause any) {
	if time.Since(w.panics) < time.Second {
		return
	}
	w.panics = time.Now()
	stack := make([]byte, 4096)
	w.log.Error("handler panicked, its batch is dropped", "handler", stage.handler.Name(), "cause", fmt.Sprint(cause),
		"stack", string(stack[:runtime.Stack(stack, false)]))
}

// Use changes the handler with the next batch; no packet is lost by that.
func (w *Worker) Use(handler Handler) error {
	next, err := newStage(handler)
	if err != nil {
		return err
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	w.former = append(w.former, formerStage{w.stage.Swap(next), w.turns.Load()})
	w.retire()
	return nil
}
