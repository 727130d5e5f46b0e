package agent

import (
	"context"
	"net/netip"
	"time"
)

// Ban is one address that is dropped until then.
type Ban struct {
	Address netip.Addr `json:"address"`
	Until   time.Time  `json:"until"`
	Owner   string     `json:"owner"`
	// By is who asked.
	By      string `json:"by"`
	Comment string `json:"comment"`
	// Packets is what it has dropped on all interfaces; known of those that are listed.
	Packets uint64 `json:"packets"`
}

// Bans is a page of the bans in force.
type Bans struct {
	// Bans are sorted by address.
	Bans []Ban `json:"bans"`
	// Total is how many there are altogether.
	Total uint32 `json:"total"`
}

// Ban drops everything from an address for a number of seconds.
func (c *Client) Ban(ctx context.Context, address netip.Addr, seconds uint32, comment, by string) (Ban, error) {
	return call[Ban](ctx, c, struct {
		question
		Address netip.Addr `json:"address"`
		Seconds uint32     `json:"seconds"`
		Comment string     `json:"comment"`
		By      string     `json:"by"`
	}{ask("ban"), address, seconds, comment, by})
}

// Unban takes a ban back.
func (c *Client) Unban(ctx context.Context, address netip.Addr, by string) error {
	_, err := call[struct {
		Address netip.Addr `json:"address"`
	}](ctx, c, struct {
		question
		Address netip.Addr `json:"address"`
		By      string     `json:"by"`
	}{ask("unban"), address, by})
	return err
}

// Bans returns up to limit bans, of addresses behind after where that is valid.
func (c *Client) Bans(ctx context.Context, limit uint32, after netip.Addr) (Bans, error) {
	request := struct {
		question
		Limit uint32      `json:"limit"`
		After *netip.Addr `json:"after"`
	}{question: ask("bans"), Limit: limit}
	if after.IsValid() {
		request.After = &after
	}
	return call[Bans](ctx, c, request)
}
