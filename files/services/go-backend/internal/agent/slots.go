package agent

import (
	"context"
	"sync"
	"time"
)

// Slot says what one slot of the map of hits counts.
type Slot struct {
	Slot uint32 `json:"slot"`
	// Part is "list", "rule", "limit" or "service", and ID its name among those.
	Part string `json:"part"`
	ID   string `json:"id"`
}

// Slots returns what the slots of each interface count, by the interface's name.
func (c *Client) Slots(ctx context.Context) (map[string][]Slot, error) {
	found, err := call[struct {
		Interfaces map[string][]Slot `json:"interfaces"`
	}](ctx, c, ask("slots"))
	return found.Interfaces, err
}

const (
	// namesAge is how old names may be; a part that is new is told by its slot for that long.
	namesAge = time.Second
	// namesTimeout is what those who ask for counters or a trace can wait for names.
	namesTimeout = time.Second
)

// Names remembers what the slots count, as those who want to know come often. Where the agent does not answer, the last names
// stay in use.
type Names struct {
	client *Client

	mu    sync.Mutex
	asked time.Time
	known map[string]map[uint32]Slot
}

// NewNames returns names without any; they are asked for when first needed.
func NewNames(client *Client) *Names {
	return &Names{client: client}
}

// Of returns what the slots of an interface count. The caller changes nothing in it.
func (n *Names) Of(ctx context.Context, ifname string) map[uint32]Slot {
	n.mu.Lock()
	defer n.mu.Unlock()
	// After a failure likewise, so that an agent that is away costs little.
	if time.Since(n.asked) > namesAge {
		n.asked = time.Now()
		n.refresh(ctx)
	}
	return n.known[ifname]
}

func (n *Names) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, namesTimeout)
	defer cancel()
	found, err := n.client.Slots(ctx)
	if err != nil {
		return
	}
	n.known = make(map[string]map[uint32]Slot, len(found))
	for ifname, slots := range found {
		n.known[ifname] = make(map[uint32]Slot, len(slots))
		for _, slot := range slots {
			n.known[ifname][slot.Slot] = slot
		}
	}
}
