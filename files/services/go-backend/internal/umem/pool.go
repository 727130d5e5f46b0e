package umem

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Pool is free frames of one owner, who alone may use it: it has neither locks nor atomics, and never allocates. The
// frame that came back last is handed out first, as it is the likeliest to be in the CPU's cache.
//
// A frame is in the pool, in the kernel or in its owner's hand. The rings' indices give the second (xsk.Socket.Held), so
// Len, Held and the batch in hand make up Size at any time, and nothing is counted for it.
type Pool struct {
	free    []uint64 // the first left ones
	left    int
	mask    uint64 // of the place within a frame
	first   uint64 // frame of those it has
	claimed int    // frames that sockets may have at once
}

// Pool returns a pool of frames that no other pool has. They stay its own until the area is closed.
func (a *Area) Pool(frames int) (*Pool, error) {
	a.lock.Lock()
	defer a.lock.Unlock()
	if left := a.config.Frames - a.pooled; frames < 1 || frames > left {
		return nil, fmt.Errorf("pool of %d frames: the UMEM has %d left of %d", frames, left, a.config.Frames)
	}
	p := &Pool{free: make([]uint64, frames), mask: uint64(a.config.FrameSize - 1)}
	p.first = uint64(a.pooled) * uint64(a.config.FrameSize)
	p.reset()
	a.pooled += frames
	return p, nil
}

// reset makes every frame free.
func (p *Pool) reset() {
	p.left = len(p.free)
	// From the end, so that they are handed out from the start.
	for i := range p.free {
		p.free[p.left-1-i] = p.first + uint64(i)*(p.mask+1)
	}
}

// Claim sets frames aside for a socket, which holds so many at once and never more, so that one socket of a pool cannot
// starve another.
func (p *Pool) Claim(frames int) error {
	if p.claimed+frames > len(p.free) {
		return fmt.Errorf("pool of %d frames: %d are claimed, %d more are needed: give it more frames, or rings fewer entries",
			len(p.free), p.claimed, frames)
	}
	p.claimed += frames
	return nil
}

// Unclaim takes a claim back. Which frames a closed socket held, the kernel does not tell: with the pool's last claim every
// frame is free again, those in the owner's hand included.
func (p *Pool) Unclaim(frames int) {
	p.claimed -= frames
	if p.claimed == 0 {
		p.reset()
	}
}

// Take moves free frames to dst, fewer than it has place for if the pool runs dry, and returns how many. Frames are places
// in the area, in bytes.
func (p *Pool) Take(dst []uint64) int {
	n := min(len(dst), p.left)
	copy(dst, p.free[p.left-n:p.left])
	p.left -= n
	return n
}

// Put takes frames back, each given by any place within it. More than there are is a fault of the owner's, and panics.
func (p *Pool) Put(addresses []uint64) {
	free := p.free[p.left : p.left+len(addresses)]
	for i, address := range addresses {
		free[i] = address &^ p.mask
	}
	p.left += len(addresses)
}

// PutOne is Put for one frame.
func (p *Pool) PutOne(address uint64) {
	p.free[p.left] = address &^ p.mask
	p.left++
}

// PutEntries is Put for the frames of a ring's entries.
func (p *Pool) PutEntries(entries []unix.XDPDesc) {
	free := p.free[p.left : p.left+len(entries)]
	for i := range entries {
		free[i] = entries[i].Addr &^ p.mask
	}
	p.left += len(entries)
}

// Len is how many frames are free.
func (p *Pool) Len() int { return p.left }

// Size is how many frames the pool has, free or not.
func (p *Pool) Size() int { return len(p.free) }
