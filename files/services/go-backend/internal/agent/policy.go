package agent

import (
	"context"
	"encoding/json"
	"time"
)

// State is which policy is in force, without what it says.
type State struct {
	Name string `json:"name"`
	// Digest is the SHA-256 of the whole policy, in hex.
	Digest string `json:"digest"`
	// Interfaces are the names of those that it judges.
	Interfaces []string `json:"interfaces"`
	Revision   uint64   `json:"revision"`
	// Pending is nil where no change waits for confirmation.
	Pending *Pending `json:"pending"`
}

// Pending is a change that is in force and will be taken back unless it is confirmed.
type Pending struct {
	Revision uint64    `json:"revision"`
	Deadline time.Time `json:"deadline"`
	By       string    `json:"by"`
}

// Policies is every policy of the host.
type Policies struct {
	Policies []State `json:"policies"`
	// Bans is how many are in force.
	Bans uint32 `json:"bans"`
}

// Policies returns every policy of the host.
func (c *Client) Policies(ctx context.Context) (Policies, error) {
	return call[Policies](ctx, c, ask("status"))
}

// Policy is a policy in force.
type Policy struct {
	State
	// Document is the whole policy, each part with its owner; Own is the part whose owner is the API.
	Document json.RawMessage `json:"document"`
	Own      json.RawMessage `json:"own"`
}

// Policy returns one policy.
func (c *Client) Policy(ctx context.Context, name string) (Policy, error) {
	return call[Policy](ctx, c, struct {
		question
		Policy string `json:"policy"`
	}{ask("get"), name})
}

// Draft is a change of the API's own part of a policy.
type Draft struct {
	Policy string `json:"policy"`
	// Document is all of the part; what it leaves out is taken away.
	Document json.RawMessage `json:"document"`
	// Expected is the revision that it was made for; nil for whatever there is.
	Expected *uint64 `json:"expected"`
	// Confirm is within how many seconds it must be confirmed; nil where it stays at once.
	Confirm *uint32 `json:"confirm"`
	DryRun  bool    `json:"dry_run"`
	// Name, Why and By, who asks, are for the history.
	Name string `json:"name"`
	Why  string `json:"why"`
	By   string `json:"by"`
}

// Change is what became of a draft, or would.
type Change struct {
	Changed  bool     `json:"changed"`
	Revision uint64   `json:"revision"`
	Pending  *Pending `json:"pending"`
	// Summary has a sentence for each part that is different.
	Summary []string `json:"summary"`
	Flips   []Flip   `json:"flips"`
	// Warnings are what its writer may not expect of it.
	Warnings []string `json:"warnings"`
}

// Flip is a frame that a change judges otherwise, in words.
type Flip struct {
	Frame  string `json:"frame"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Put replaces the API's own part of a policy, or says what would become of it.
func (c *Client) Put(ctx context.Context, draft Draft) (Change, error) {
	return call[Change](ctx, c, struct {
		question
		Draft
	}{ask("put"), draft})
}

// Confirm keeps a change that waits for it.
func (c *Client) Confirm(ctx context.Context, policy string, revision uint64, by string) (uint64, error) {
	kept, err := call[struct {
		Revision uint64 `json:"revision"`
	}](ctx, c, struct {
		question
		Policy   string `json:"policy"`
		Revision uint64 `json:"revision"`
		By       string `json:"by"`
	}{ask("confirm"), policy, revision, by})
	return kept.Revision, err
}

// Return is the way back to an earlier revision.
type Return struct {
	Policy string `json:"policy"`
	// Revision is nil for the one before the present one.
	Revision *uint64 `json:"revision"`
	// Expected is as of a draft.
	Expected *uint64 `json:"expected"`
	Confirm  *uint32 `json:"confirm"`
	By       string  `json:"by"`
}

// Revert puts the API's own part back to what it was.
func (c *Client) Revert(ctx context.Context, back Return) (Change, error) {
	return call[Change](ctx, c, struct {
		question
		Return
	}{ask("revert"), back})
}

// Revision is one change of a policy.
type Revision struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Owner    string    `json:"owner"`
	By       string    `json:"by"`
	Name     string    `json:"name"`
	Why      string    `json:"why"`
	Digest   string    `json:"digest"`
	Summary  []string  `json:"summary"`
	// State is "current", "pending", "superseded" or "reverted".
	State string `json:"state"`
}

// History returns the last changes of a policy, the newest first.
func (c *Client) History(ctx context.Context, policy string) ([]Revision, error) {
	found, err := call[struct {
		Revisions []Revision `json:"revisions"`
	}](ctx, c, struct {
		question
		Policy string `json:"policy"`
	}{ask("history"), policy})
	return found.Revisions, err
}
