package agent

import "context"

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
