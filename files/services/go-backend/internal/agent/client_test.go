package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/agent/agenttest"
)

func TestQuestionsAndAnswers(t *testing.T) {
	var asked map[string]any
	var result string
	client := agenttest.Listen(t, func(question map[string]any) string {
		asked = question
		return `{"id": 1, "ok": true, "result": ` + strings.ReplaceAll(result, "\n", "") + "}\n"
	})
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	address := netip.MustParseAddr("192.0.2.1")
	seven, sixty := uint64(7), uint32(60)
	pending := &agent.Pending{Revision: 8, Deadline: noon, By: "ada"}
	for _, test := range []struct {
		call   func() (any, error)
		asks   string
		result string
		want   any
	}{
		{
			func() (any, error) { return client.Policies(t.Context()) }, `{"op": "status"}`,
			`{"policies": [{"name": "edge", "digest": "ab", "interfaces": ["ens1"], "revision": 8,
				"pending": {"revision": 8, "deadline": "2026-01-02T12:00:00Z", "by": "ada"}}], "bans": 3}`,
			agent.Policies{Bans: 3, Policies: []agent.State{
				{Name: "edge", Digest: "ab", Interfaces: []string{"ens1"}, Revision: 8, Pending: pending},
			}},
		},
		{
			func() (any, error) { return client.Policy(t.Context(), "edge") }, `{"op": "get", "policy": "edge"}`,
			`{"name": "edge", "digest": "ab", "interfaces": [], "revision": 7, "pending": null, "document": {"a": 1}, "own": {}}`,
			agent.Policy{
				State:    agent.State{Name: "edge", Digest: "ab", Interfaces: []string{}, Revision: 7},
				Document: []byte(`{"a": 1}`), Own: []byte(`{}`),
			},
		},
		{
			func() (any, error) {
				return client.Put(t.Context(), agent.Draft{
					Policy: "edge", Document: []byte(`{"lists":[]}`), Expected: &seven, Confirm: &sixty, DryRun: true,
					Name: "n", Why: "w", By: "ada",
				})
			},
			`{"op": "put", "policy": "edge", "document": {"lists": []}, "expected": 7, "confirm": 60, "dry_run": true,
				"name": "n", "why": "w", "by": "ada"}`,
			`{"changed": true, "revision": 8, "pending": null, "summary": ["list a: new"], "warnings": ["w"],
				"flips": [{"frame": "f", "before": "pass no_rule", "after": "drop list_drop a"}]}`,
			agent.Change{
				Changed: true, Revision: 8, Summary: []string{"list a: new"}, Warnings: []string{"w"},
				Flips: []agent.Flip{{Frame: "f", Before: "pass no_rule", After: "drop list_drop a"}},
			},
		},
		{
			func() (any, error) { return client.Confirm(t.Context(), "edge", 8, "ada") },
			`{"op": "confirm", "policy": "edge", "revision": 8, "by": "ada"}`, `{"revision": 8}`, uint64(8),
		},
		{
			func() (any, error) { return client.Revert(t.Context(), agent.Return{Policy: "edge", By: "ada"}) },
			`{"op": "revert", "policy": "edge", "revision": null, "expected": null, "confirm": null, "by": "ada"}`,
			`{"changed": false, "revision": 7, "pending": null, "summary": [], "warnings": []}`,
			agent.Change{Revision: 7, Summary: []string{}, Warnings: []string{}},
		},
		{
			func() (any, error) { return client.History(t.Context(), "edge") }, `{"op": "history", "policy": "edge"}`,
			`{"revisions": [{"revision": 8, "time": "2026-01-02T12:00:00Z", "owner": "api", "by": "ada", "digest": "ab",
				"name": "n", "why": "w", "summary": ["x"], "state": "current"}]}`,
			[]agent.Revision{{
				Revision: 8, Time: noon, Owner: "api", By: "ada", Name: "n", Why: "w", Digest: "ab", Summary: []string{"x"}, State: "current",
			}},
		},
		{
			func() (any, error) { return client.Ban(t.Context(), address, 600, "scans", "ada") },
			`{"op": "ban", "address": "192.0.2.1", "seconds": 600, "comment": "scans", "by": "ada"}`,
			`{"address": "192.0.2.1", "until": "2026-01-02T12:00:00Z", "owner": "api", "by": "ada", "comment": "scans"}`,
			agent.Ban{Address: address, Until: noon, Owner: "api", By: "ada", Comment: "scans"},
		},
		{
			func() (any, error) { return nil, client.Unban(t.Context(), address, "ada") },
			`{"op": "unban", "address": "192.0.2.1", "by": "ada"}`, `{"address": "192.0.2.1"}`, nil,
		},
		{
			func() (any, error) { return client.Bans(t.Context(), 10, netip.Addr{}) },
			`{"op": "bans", "limit": 10, "after": null}`, `{"bans": [], "total": 0}`, agent.Bans{Bans: []agent.Ban{}},
		},
		{
			func() (any, error) { return client.Bans(t.Context(), 10, address) },
			`{"op": "bans", "limit": 10, "after": "192.0.2.1"}`, `{"bans": [], "total": 1}`, agent.Bans{Bans: []agent.Ban{}, Total: 1},
		},
		{
			func() (any, error) { return client.Slots(t.Context()) }, `{"op": "slots"}`,
			`{"interfaces": {"ens1": [{"slot": 3, "part": "rule", "id": "no-snmp"}]}}`,
			map[string][]agent.Slot{"ens1": {{Slot: 3, Part: "rule", ID: "no-snmp"}}},
		},
	} {
		result = test.result
		got, err := test.call()
		var want map[string]any
		if err := json.Unmarshal([]byte(test.asks), &want); err != nil {
			t.Fatal(err)
		}
		want["id"] = 1.0
		if !reflect.DeepEqual(asked, want) {
			t.Errorf("asked %v, want %v", asked, want)
		}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v, want %+v", test.asks, got, err, test.want)
		}
	}
}

func TestRefusalsAreTold(t *testing.T) {
	client := agenttest.Listen(t, func(map[string]any) string {
		return `{"id": 1, "ok": false, "error": {"kind": "conflict", "message": "too late", "reasons": ["one", "two"]}}` + "\n"
	})
	_, err := client.Policies(t.Context())
	var refusal *agent.Refusal
	if !errors.As(err, &refusal) || errors.Is(err, agent.ErrAway) {
		t.Fatalf("got %v", err)
	}
	want := agent.Refusal{Kind: agent.Conflict, Message: "too late", Reasons: []string{"one", "two"}}
	if !reflect.DeepEqual(*refusal, want) {
		t.Errorf("got %+v, want %+v", *refusal, want)
	}
}

func TestWhatIsNoAnswerIsNotTakenForOne(t *testing.T) {
	for text, says := range map[string]string{
		"":                              "hung up",
		`{"id": 1, "ok": true`:          "hung up",
		"hello\n":                       "not of the form",
		"[]\n":                          "not of the form",
		"{}\n":                          "neither",
		`{"id": 1, "ok": true}` + "\n":  "neither",
		`{"id": 1, "ok": false}` + "\n": "neither",
		`{"id": 2, "ok": true, "result": {"policies": [], "bans": 0}}` + "\n":                            "neither",
		`{"id": 1, "ok": true, "result": {"policies": [], "bans": 0}, "error": {"kind": "busy"}}` + "\n": "neither",
		`{"id": 1, "ok": true, "result": {"policies": [], "bans": 0}, "new": 1}` + "\n":                  `"new"`,
		`{"id": 1, "ok": true, "result": {"policies": [], "bans": 0, "new": 1}}` + "\n":                  `"new"`,
		`{"id": 1, "ok": true, "result": {"policies": [], "bans": -1}}` + "\n":                           "-1",
		`{"id": 1, "ok": true, "result": {"policies": [], "bans": 0}} {}` + "\n":                         "more than one value",
		`{"id": 1, "ok": true, "result": "` + strings.Repeat("x", 16<<20) + "\"}\n":                      "more than",
	} {
		client := agenttest.Listen(t, func(map[string]any) string { return text })
		if _, err := client.Policies(t.Context()); !errors.Is(err, agent.ErrAway) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.80q: got %v, want it to say %q", text, err, says)
		}
	}
}

func TestAnAgentThatIsAwayIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.sock")
	if _, err := agent.New(path).Policies(t.Context()); !errors.Is(err, agent.ErrAway) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestASilentAgentIsNotWaitedForLongerThanTheCaller(t *testing.T) {
	ended := make(chan struct{})
	client := agenttest.Listen(t, func(map[string]any) string {
		<-ended
		return ""
	})
	defer close(ended)
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := client.Policies(late)
	if !errors.Is(err, agent.ErrAway) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	gone, hangUp := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, hangUp)
	if _, err := client.Policies(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
