package control_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/agent/agenttest"
	"tripod/go-backend/internal/control"
)

const secret = "0123456789abcdef0123456789abcdef"

// host is an agent's side of the socket.
type host struct {
	// asked is the last question, and reply what it is answered with, without the envelope where it is a result.
	asked map[string]any
	reply string
}

// listen plays the agent, which answers one question at a time.
func listen(t *testing.T, h *host) *agent.Client {
	t.Helper()
	return agenttest.Listen(t, func(asked map[string]any) string {
		h.asked = asked
		return h.reply + "\n"
	})
}

// answering plays an agent with one answer.
func answering(t *testing.T, text string) *agent.Client {
	t.Helper()
	return listen(t, &host{reply: result(strings.ReplaceAll(text, "\n", ""))})
}

// policies returns a client of a server that asks an agent.
func policies(t *testing.T, h *host) tripodv1.PolicyServiceClient {
	t.Helper()
	client := listen(t, h)
	return tripodv1.NewPolicyServiceClient(serve(t, func(server *grpc.Server) {
		tripodv1.RegisterPolicyServiceServer(server, control.NewPolicyServer(client, silent))
	}, grpc.UnaryInterceptor(control.NewSecret(secret).Unary())))
}

func with(t *testing.T, authorization ...string) context.Context {
	ctx := t.Context()
	for _, one := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", one)
	}
	return ctx
}

func result(text string) string { return `{"id": 1, "ok": true, "result": ` + text + `}` }

func TestPoliciesAreForWhoHoldsTheSecret(t *testing.T) {
	h := &host{reply: result(`{"policies": [], "bans": 0}`)}
	client := policies(t, h)
	for _, given := range [][]string{
		nil, {""}, {secret}, {"bearer " + secret}, {"Bearer "}, {"Bearer " + secret[1:]}, {"Bearer " + secret + " "},
		{"Bearer x", "Bearer " + secret},
	} {
		if _, err := client.ListPolicies(with(t, given...), &tripodv1.ListPoliciesRequest{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%q: got %v", given, err)
		}
	}
	if h.asked != nil {
		t.Errorf("the agent was asked %v", h.asked)
	}
	if _, err := client.ListPolicies(with(t, "Bearer "+secret), &tripodv1.ListPoliciesRequest{}); err != nil {
		t.Error(err)
	}
}

func TestNobodyHoldsASecretThatIsNone(t *testing.T) {
	client := tripodv1.NewPolicyServiceClient(serve(t, func(server *grpc.Server) {
		tripodv1.RegisterPolicyServiceServer(server, control.NewPolicyServer(agent.New("/nonexistent"), silent))
	}, grpc.UnaryInterceptor(control.NewSecret("").Unary())))
	if _, err := client.ListPolicies(with(t, "Bearer "), &tripodv1.ListPoliciesRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
}

func TestTheAgentsAnswersReachTheCaller(t *testing.T) {
	h := &host{}
	client, ctx := policies(t, h), with(t, "Bearer "+secret)
	noon := timestamppb.New(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	pending := `{"revision": 8, "deadline": "2026-01-02T12:00:00Z", "by": "ada"}`
	changed := `{"changed": true, "revision": 8, "pending": ` + pending +
		`, "summary": ["s"], "warnings": ["w"], "flips": [{"frame": "f", "before": "b", "after": "a"}]}`
	change := &tripodv1.PutPolicyResponse{
		Changed: true, Revision: 8, Pending: &tripodv1.Pending{Revision: 8, Deadline: noon, By: "ada"}, Summary: []string{"s"},
		Warnings: []string{"w"}, Flips: []*tripodv1.Flip{{Frame: "f", Before: "b", After: "a"}},
	}
	state := &tripodv1.PolicyState{
		Name: "edge", Digest: "ab", Interfaces: []string{"ens1"}, Revision: 8,
		Pending: &tripodv1.Pending{Revision: 8, Deadline: noon, By: "ada"},
	}
	stateText := `"name": "edge", "digest": "ab", "interfaces": ["ens1"], "revision": 8, "pending": ` + pending
	banned := &tripodv1.Banned{Address: "2001:db8::1", Until: noon, Owner: "api", By: "ada", Comment: "c"}
	listed := proto.Clone(banned).(*tripodv1.Banned)
	listed.Packets = 5
	bannedText := `{"address": "2001:db8::1", "until": "2026-01-02T12:00:00Z", "owner": "api", "by": "ada", "comment": "c"}`
	for _, test := range []struct {
		call  func() (proto.Message, error)
		asks  map[string]any
		reply string
		want  proto.Message
	}{
		{
			func() (proto.Message, error) { return client.ListPolicies(ctx, &tripodv1.ListPoliciesRequest{}) },
			map[string]any{"op": "status"}, `{"policies": [{` + stateText + `}], "bans": 4}`,
			&tripodv1.ListPoliciesResponse{Policies: []*tripodv1.PolicyState{state}, Bans: 4},
		},
		{
			func() (proto.Message, error) {
				return client.GetPolicy(ctx, &tripodv1.GetPolicyRequest{Policy: "edge"})
			},
			map[string]any{"op": "get", "policy": "edge"}, `{` + stateText + `, "document": {"a": [1]}, "own": {}}`,
			&tripodv1.GetPolicyResponse{State: state, Document: `{"a": [1]}`, Own: "{}"},
		},
		{
			func() (proto.Message, error) {
				return client.PutPolicy(ctx, &tripodv1.PutPolicyRequest{
					Policy: "edge", Document: `{"lists": []}`, Expected: proto.Uint64(7), ConfirmSeconds: 60,
					Name: "n", Why: "w", By: "ada",
				})
			},
			map[string]any{
				"op": "put", "policy": "edge", "document": map[string]any{"lists": []any{}}, "expected": 7.0, "confirm": 60.0,
				"dry_run": false, "name": "n", "why": "w", "by": "ada",
			}, changed, change,
		},
		{
			func() (proto.Message, error) {
				return client.PutPolicy(ctx, &tripodv1.PutPolicyRequest{Policy: "edge", Document: "{}", DryRun: true})
			},
			map[string]any{
				"op": "put", "policy": "edge", "document": map[string]any{}, "expected": nil, "confirm": nil, "dry_run": true,
				"name": "", "why": "", "by": "",
			}, changed, change,
		},
		{
			func() (proto.Message, error) {
				return client.Confirm(ctx, &tripodv1.ConfirmRequest{Policy: "edge", Revision: 8, By: "ada"})
			},
			map[string]any{"op": "confirm", "policy": "edge", "revision": 8.0, "by": "ada"}, `{"revision": 8}`,
			&tripodv1.ConfirmResponse{Revision: 8},
		},
		{
			func() (proto.Message, error) {
				return client.Revert(ctx, &tripodv1.RevertRequest{
					Policy: "edge", Revision: proto.Uint64(0), Expected: proto.Uint64(8), ConfirmSeconds: 5, By: "ada",
				})
			},
			map[string]any{"op": "revert", "policy": "edge", "revision": 0.0, "expected": 8.0, "confirm": 5.0, "by": "ada"}, changed, change,
		},
		{
			func() (proto.Message, error) { return client.History(ctx, &tripodv1.HistoryRequest{Policy: "edge"}) },
			map[string]any{"op": "history", "policy": "edge"},
			`{"revisions": [{"revision": 8, "time": "2026-01-02T12:00:00Z", "owner": "api", "by": "ada", "digest": "ab",
				"name": "n", "why": "w", "summary": ["s"], "state": "pending"}]}`,
			&tripodv1.HistoryResponse{Revisions: []*tripodv1.Revision{
				{Revision: 8, Time: noon, Owner: "api", By: "ada", Name: "n", Why: "w", Digest: "ab", Summary: []string{"s"}, State: "pending"},
			}},
		},
		{
			func() (proto.Message, error) {
				return client.Ban(ctx, &tripodv1.BanRequest{Address: "2001:DB8::1", Seconds: 60, Comment: "c", By: "ada"})
			},
			map[string]any{"op": "ban", "address": "2001:db8::1", "seconds": 60.0, "comment": "c", "by": "ada"}, bannedText,
			&tripodv1.BanResponse{Ban: banned},
		},
		{
			func() (proto.Message, error) {
				return client.Unban(ctx, &tripodv1.UnbanRequest{Address: "192.0.2.1", By: "ada"})
			},
			map[string]any{"op": "unban", "address": "192.0.2.1", "by": "ada"}, `{"address": "192.0.2.1"}`, &tripodv1.UnbanResponse{},
		},
		{
			func() (proto.Message, error) { return client.ListBans(ctx, &tripodv1.ListBansRequest{}) },
			map[string]any{"op": "bans", "limit": 100.0, "after": nil}, `{"bans": [` + strings.TrimSuffix(bannedText, "}") + `, "packets": 5}], "total": 7}`,
			&tripodv1.ListBansResponse{Bans: []*tripodv1.Banned{listed}, Total: 7},
		},
		{
			func() (proto.Message, error) {
				return client.ListBans(ctx, &tripodv1.ListBansRequest{Limit: 1000, After: "192.0.2.1"})
			},
			map[string]any{"op": "bans", "limit": 1000.0, "after": "192.0.2.1"}, `{"bans": [], "total": 7}`,
			&tripodv1.ListBansResponse{Total: 7},
		},
	} {
		h.reply = result(strings.ReplaceAll(test.reply, "\n", ""))
		got, err := test.call()
		if err != nil || !proto.Equal(got, test.want) {
			t.Errorf("%v: got %v, %v, want %v", test.asks, got, err, test.want)
		}
		test.asks["id"] = 1.0
		if asked, _ := json.Marshal(h.asked); string(asked) != marshal(t, test.asks) {
			t.Errorf("asked %s, want %s", asked, marshal(t, test.asks))
		}
	}
}

func marshal(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheAgentsRefusalsReachTheCallerWithAllReasons(t *testing.T) {
	h := &host{}
	client, ctx := policies(t, h), with(t, "Bearer "+secret)
	for kind, code := range map[string]codes.Code{
		"invalid": codes.InvalidArgument, "missing": codes.NotFound, "conflict": codes.Aborted, "refused": codes.FailedPrecondition,
		"impossible": codes.FailedPrecondition, "busy": codes.ResourceExhausted, "forbidden": codes.PermissionDenied,
		"failed": codes.Internal, "of a newer agent": codes.Internal,
	} {
		h.reply = `{"id": 1, "ok": false, "error": {"kind": "` + kind + `", "message": "no", "reasons": ["one", "two"]}}`
		_, err := client.ListPolicies(ctx, &tripodv1.ListPoliciesRequest{})
		if status.Code(err) != code || status.Convert(err).Message() != "one\ntwo" {
			t.Errorf("%s: got %v", kind, err)
		}
	}
	h.reply = `{"id": 1, "ok": false, "error": {"kind": "busy", "message": "no", "reasons": []}}`
	if _, err := client.ListPolicies(ctx, &tripodv1.ListPoliciesRequest{}); status.Convert(err).Message() != "no" {
		t.Errorf("got %v", err)
	}
	// More than a header holds, and not what the transport would say of that.
	reasons := strings.Repeat(`"`+strings.Repeat("é", 40)+`", `, 2000)
	h.reply = `{"id": 1, "ok": false, "error": {"kind": "invalid", "message": "no", "reasons": [` + reasons + `"last"]}}`
	_, err := client.ListPolicies(ctx, &tripodv1.ListPoliciesRequest{})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "more") || !strings.Contains(err.Error(), "é") {
		t.Errorf("got %v", err)
	}
}

func TestQuestionsThatCannotBeMeantAreNotAsked(t *testing.T) {
	h := &host{reply: result("{}")}
	client, ctx := policies(t, h), with(t, "Bearer "+secret)
	for _, call := range []func() error{
		func() error {
			_, err := client.PutPolicy(ctx, &tripodv1.PutPolicyRequest{Policy: "edge", Document: "{"})
			return err
		},
		func() error { _, err := client.PutPolicy(ctx, &tripodv1.PutPolicyRequest{Policy: "edge"}); return err },
		func() error {
			_, err := client.Ban(ctx, &tripodv1.BanRequest{Address: "192.0.2.0/24", Seconds: 1})
			return err
		},
		func() error {
			_, err := client.Ban(ctx, &tripodv1.BanRequest{Address: "fe80::1%eth0", Seconds: 1})
			return err
		},
		func() error { _, err := client.Unban(ctx, &tripodv1.UnbanRequest{}); return err },
		func() error { _, err := client.ListBans(ctx, &tripodv1.ListBansRequest{Limit: 1001}); return err },
		func() error { _, err := client.ListBans(ctx, &tripodv1.ListBansRequest{After: "x"}); return err },
	} {
		if err := call(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("got %v", err)
		}
	}
	if h.asked != nil {
		t.Errorf("the agent was asked %v", h.asked)
	}
}

func TestAnAgentThatIsAwayIsUnavailable(t *testing.T) {
	client := tripodv1.NewPolicyServiceClient(serve(t, func(server *grpc.Server) {
		tripodv1.RegisterPolicyServiceServer(server, control.NewPolicyServer(agent.New("/nonexistent/policy.sock"), silent))
	}))
	_, err := client.ListPolicies(t.Context(), &tripodv1.ListPoliciesRequest{})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "/nonexistent/policy.sock") {
		t.Errorf("got %v", err)
	}
}
