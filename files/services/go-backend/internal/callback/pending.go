package callback

import (
	"sync"

	"tripod/go-backend/gen/tripodv1"
)

const (
	// maxPending is how many packets wait for an API; of more the newest stay.
	maxPending = 1000
	// maxBatch is how many one call hands on, which is as many as the API takes.
	maxBatch = 500
)

// pending are packets that an API is still to be told of. Who adds some never waits.
type pending struct {
	mu      sync.Mutex
	packets []*tripodv1.DroppedPacket
	// lost are those that had to go, or came to nobody, since the last batch that was taken.
	lost uint64
	// handed and gone count them since the start.
	handed, gone uint64
}

func (p *pending) add(packets []*tripodv1.DroppedPacket, lost uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.packets = append(p.packets, packets...)
	if more := len(p.packets) - maxPending; more > 0 {
		// Copied, so that what went is not kept alive by what stays.
		p.packets = append([]*tripodv1.DroppedPacket(nil), p.packets[more:]...)
		lost += uint64(more)
	}
	p.lost += lost
	p.gone += lost
}

// batch takes the oldest away, for a call that is to follow.
func (p *pending) batch() *tripodv1.DroppedRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.packets) == 0 {
		return nil // what was lost is told with the next that was not
	}
	n := min(len(p.packets), maxBatch)
	batch := &tripodv1.DroppedRequest{Packets: p.packets[:n:n], Lost: p.lost}
	p.packets, p.lost = p.packets[n:], 0
	return batch
}

// over is after the call: what was not answered may have been written or not, and is not told a second time.
func (p *pending) over(batch *tripodv1.DroppedRequest, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := uint64(len(batch.GetPackets()))
	if answered {
		p.handed += n
		return
	}
	p.lost += batch.GetLost() + n
	p.gone += n
}

func (p *pending) counts() (handed, gone uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handed, p.gone
}
