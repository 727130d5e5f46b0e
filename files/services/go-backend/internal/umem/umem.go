// Package umem is memory for packets that user space shares with the kernel (UMEM, see Documentation/networking/af_xdp.rst):
// huge pages on a NIC's NUMA node, cut into frames of one size, and pools that hand the frames out.
package umem

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"golang.org/x/sys/unix"
)

// Of every frame, the kernel keeps the first KernelHeadroom bytes of what it receives into (XDP_PACKET_HEADROOM).
const KernelHeadroom = 256

// The kernel's limits of a frame (XDP_UMEM_MIN_CHUNK_SIZE and its page), in bytes. Between them it takes powers of two.
const (
	MinFrameSize = 2048
	MaxFrameSize = 4096
)

// AnyNode leaves the NUMA node to the kernel.
const AnyNode = -1

// Config says what memory to take.
type Config struct {
	// Frames is how many.
	Frames int
	// FrameSize is 2048 or 4096 bytes.
	FrameSize int
	// Headroom is what is left free before a received packet, in bytes, in addition to KernelHeadroom.
	Headroom int
	// Pages is the size of page to take it from; zero is the system's smallest.
	Pages PageSize
	// Node is the NUMA node that all of it is on, or AnyNode.
	Node int
	// Fallback takes the smallest pages where those requested are not to be had, of the node if it can.
	Fallback bool
}

// Area is memory of one config. Its methods but Pool and Close may be called at any time from anywhere.
type Area struct {
	config    Config
	memory    []byte
	placement Placement
	fallback  error

	lock   sync.Mutex
	pooled int // frames that are in pools
}

// New takes memory, every page of it present and where it was requested to be, or none.
func New(config Config) (*Area, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	type choice struct {
		pages PageSize
		node  int
	}
	choices := []choice{{config.Pages, config.Node}}
	if config.Fallback {
		choices = append(choices, choice{0, config.Node}, choice{0, AnyNode})
	}
	var refused error
	for _, c := range choices {
		memory, placement, err := take(config.size(), c.pages, c.node)
		if err == nil {
			return &Area{config: config, memory: memory, placement: placement, fallback: refused}, nil
		}
		refused = errors.Join(refused, err)
	}
	return nil, refused
}

// Check returns everything that is wrong with a config.
func (c Config) Check() error {
	var faults []error
	if c.Frames < 1 || c.Frames > 1<<24 {
		faults = append(faults, fmt.Errorf("UMEM of %d frames: 1 to %d are possible", c.Frames, 1<<24))
	}
	if c.FrameSize < MinFrameSize || c.FrameSize > MaxFrameSize || bits.OnesCount(uint(c.FrameSize)) != 1 {
		faults = append(faults, fmt.Errorf("UMEM frame size %d: the kernel takes %d or %d bytes; longer packets need "+
			"multi-buffer frames, not larger ones", c.FrameSize, MinFrameSize, MaxFrameSize))
	} else if limit := c.FrameSize - KernelHeadroom - minRoom; c.Headroom < 0 || c.Headroom > limit {
		faults = append(faults, fmt.Errorf("UMEM headroom %d: 0 to %d bytes leave room for a packet in a frame of %d",
			c.Headroom, limit, c.FrameSize))
	}
	if !c.Pages.known() {
		faults = append(faults, fmt.Errorf("UMEM pages of %d bytes: %s, %s or 0 for the system's smallest are possible",
			uint(c.Pages), Huge2M, Huge1G))
	}
	if c.Node < AnyNode || c.Node >= maxNodes {
		faults = append(faults, fmt.Errorf("UMEM on NUMA node %d: 0 to %d, or %d for any", c.Node, maxNodes-1, AnyNode))
	}
	return errors.Join(faults...)
}

// minRoom is what a frame has to hold at least: an Ethernet frame's headers and the smallest MTU of IPv6.
const minRoom = 1280 + 14 + 4

// Room is as of an Area.
func (c Config) Room() int { return c.FrameSize - KernelHeadroom - c.Headroom }

func (c Config) size() int { return c.Frames * c.FrameSize }

// Close gives the memory back. No socket may have it any more.
func (a *Area) Close() error {
	if a.memory == nil {
		return nil
	}
	err := unix.Munmap(a.memory)
	a.memory = nil
	if err != nil {
		return fmt.Errorf("unmap UMEM: %w", err)
	}
	return nil
}

// Bytes returns memory by its place in the area, in bytes. It ends where its frame does at the latest.
func (a *Area) Bytes(address uint64, length uint32) []byte {
	end := (address | uint64(a.config.FrameSize-1)) + 1
	return a.memory[address : address+uint64(length) : end]
}

// Memory returns the whole area.
func (a *Area) Memory() []byte { return a.memory[:a.config.size():a.config.size()] }

// Frame returns the start of the frame that an address is in.
func (a *Area) Frame(address uint64) uint64 { return address &^ uint64(a.config.FrameSize-1) }

// Start returns the first byte of a frame that a packet may have: where the kernel puts those that it receives.
func (a *Area) Start(frame uint64) uint64 {
	return a.Frame(frame) + KernelHeadroom + uint64(a.config.Headroom)
}

// Room is the longest piece of a packet that the kernel receives into a frame, in bytes.
func (a *Area) Room() int { return a.config.Room() }

// Frames is how many frames there are.
func (a *Area) Frames() int { return a.config.Frames }

// FrameSize is in bytes.
func (a *Area) FrameSize() int { return a.config.FrameSize }

// Headroom is in bytes, KernelHeadroom not included.
func (a *Area) Headroom() int { return a.config.Headroom }

// Placement is where the kernel says that the memory is.
func (a *Area) Placement() Placement { return a.placement }

// FellBack is the reason why the memory is not of the pages or the node that were requested, or nil.
func (a *Area) FellBack() error { return a.fallback }
