package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/agent"
)

const (
	// bansPage is a page of bans whose size nobody asked for, and maxBansPage the largest one.
	bansPage, maxBansPage = 100, 1000
	// maxReasons bounds what a refusal tells (bytes): it travels in a header, where each may take three, and clients take 8 KiB.
	maxReasons = 2 << 10
)

// PolicyServer answers tripod.v1.PolicyService by asking the host's agent, which judges what it is asked.
type PolicyServer struct {
	tripodv1.UnimplementedPolicyServiceServer

	agent *agent.Client
	log   *slog.Logger
}

// NewPolicyServer returns a server that asks through client.
func NewPolicyServer(client *agent.Client, log *slog.Logger) *PolicyServer {
	return &PolicyServer{agent: client, log: log}
}

// ListPolicies returns every policy of the host.
func (s *PolicyServer) ListPolicies(
	ctx context.Context, _ *tripodv1.ListPoliciesRequest,
) (*tripodv1.ListPoliciesResponse, error) {
	found, err := s.agent.Policies(ctx)
	if err != nil {
		return nil, s.fail(ctx, "ListPolicies", err)
	}
	response := &tripodv1.ListPoliciesResponse{Bans: found.Bans}
	for _, one := range found.Policies {
		response.Policies = append(response.Policies, policyState(one))
	}
	return response, nil
}

// GetPolicy returns a policy as it is in force.
func (s *PolicyServer) GetPolicy(
	ctx context.Context, request *tripodv1.GetPolicyRequest,
) (*tripodv1.GetPolicyResponse, error) {
	found, err := s.agent.Policy(ctx, request.GetPolicy())
	if err != nil {
		return nil, s.fail(ctx, "GetPolicy", err)
	}
	return &tripodv1.GetPolicyResponse{
		State: policyState(found.State), Document: string(found.Document), Own: string(found.Own),
	}, nil
}

// PutPolicy replaces the API's own part of a policy, or says what would become of it.
func (s *PolicyServer) PutPolicy(
	ctx context.Context, request *tripodv1.PutPolicyRequest,
) (*tripodv1.PutPolicyResponse, error) {
	document := json.RawMessage(request.GetDocument())
	if !json.Valid(document) {
		return nil, status.Error(codes.InvalidArgument, "the document is not JSON")
	}
	made, err := s.agent.Put(ctx, agent.Draft{
		Policy:   request.GetPolicy(),
		Document: document,
		Expected: request.Expected,
		Confirm:  unlessZero(request.GetConfirmSeconds()),
		DryRun:   request.GetDryRun(),
		Name:     request.GetName(),
		Why:      request.GetWhy(),
		By:       request.GetBy(),
	})
	if err != nil {
		return nil, s.fail(ctx, "PutPolicy", err)
	}
	return change(made), nil
}

// Confirm keeps a change that waits for it.
func (s *PolicyServer) Confirm(
	ctx context.Context, request *tripodv1.ConfirmRequest,
) (*tripodv1.ConfirmResponse, error) {
	revision, err := s.agent.Confirm(ctx, request.GetPolicy(), request.GetRevision(), request.GetBy())
	if err != nil {
		return nil, s.fail(ctx, "Confirm", err)
	}
	return &tripodv1.ConfirmResponse{Revision: revision}, nil
}

// Revert puts the API's own part back to what it was.
func (s *PolicyServer) Revert(
	ctx context.Context, request *tripodv1.RevertRequest,
) (*tripodv1.PutPolicyResponse, error) {
	made, err := s.agent.Revert(ctx, agent.Return{
		Policy:   request.GetPolicy(),
		Revision: request.Revision,
		Expected: request.Expected,
		Confirm:  unlessZero(request.GetConfirmSeconds()),
		By:       request.GetBy(),
	})
	if err != nil {
		return nil, s.fail(ctx, "Revert", err)
	}
	return change(made), nil
}

// History returns the last revisions of a policy.
func (s *PolicyServer) History(
	ctx context.Context, request *tripodv1.HistoryRequest,
) (*tripodv1.HistoryResponse, error) {
	found, err := s.agent.History(ctx, request.GetPolicy())
	if err != nil {
		return nil, s.fail(ctx, "History", err)
	}
	response := &tripodv1.HistoryResponse{}
	for _, one := range found {
		response.Revisions = append(response.Revisions, &tripodv1.Revision{
			Revision: one.Revision, Time: timestamppb.New(one.Time), Owner: one.Owner, By: one.By,
			Name: one.Name, Why: one.Why, Digest: one.Digest, Summary: one.Summary, State: one.State,
		})
	}
	return response, nil
}

// Ban drops everything from one address until it runs out.
func (s *PolicyServer) Ban(ctx context.Context, request *tripodv1.BanRequest) (*tripodv1.BanResponse, error) {
	address, err := parseAddress(request.GetAddress())
	if err != nil {
		return nil, err
	}
	made, err := s.agent.Ban(ctx, address, request.GetSeconds(), request.GetComment(), request.GetBy())
	if err != nil {
		return nil, s.fail(ctx, "Ban", err)
	}
	return &tripodv1.BanResponse{Ban: banned(made)}, nil
}

// Unban takes a ban back.
func (s *PolicyServer) Unban(ctx context.Context, request *tripodv1.UnbanRequest) (*tripodv1.UnbanResponse, error) {
	address, err := parseAddress(request.GetAddress())
	if err != nil {
		return nil, err
	}
	if err := s.agent.Unban(ctx, address, request.GetBy()); err != nil {
		return nil, s.fail(ctx, "Unban", err)
	}
	return &tripodv1.UnbanResponse{}, nil
}

// ListBans returns a page of the bans in force.
func (s *PolicyServer) ListBans(
	ctx context.Context, request *tripodv1.ListBansRequest,
) (*tripodv1.ListBansResponse, error) {
	limit := request.GetLimit()
	if limit == 0 {
		limit = bansPage
	}
	if limit > maxBansPage {
		return nil, status.Errorf(codes.InvalidArgument, "%d bans are more than a page of %d", limit, maxBansPage)
	}
	var after netip.Addr
	if text := request.GetAfter(); text != "" {
		var err error
		if after, err = parseAddress(text); err != nil {
			return nil, err
		}
	}
	found, err := s.agent.Bans(ctx, limit, after)
	if err != nil {
		return nil, s.fail(ctx, "ListBans", err)
	}
	response := &tripodv1.ListBansResponse{Total: found.Total}
	for _, one := range found.Bans {
		response.Bans = append(response.Bans, banned(one))
	}
	return response, nil
}

// codeOf is what each kind of the agent's refusals is in gRPC; what is not named here is an internal error.
var codeOf = map[agent.Kind]codes.Code{
	agent.Invalid:    codes.InvalidArgument,
	agent.Missing:    codes.NotFound,
	agent.Conflict:   codes.Aborted,
	agent.Refused:    codes.FailedPrecondition,
	agent.Impossible: codes.FailedPrecondition,
	agent.Busy:       codes.ResourceExhausted,
	agent.Forbidden:  codes.PermissionDenied,
}

func (s *PolicyServer) fail(ctx context.Context, method string, err error) error {
	return refused(ctx, s.log, method, err)
}

// refused turns an error of a question to the agent into a status, and logs what is the host's fault rather than the caller's.
func refused(ctx context.Context, log *slog.Logger, method string, err error) error {
	code, text := codes.Internal, err.Error()
	var refusal *agent.Refusal
	switch {
	case errors.As(err, &refusal):
		if known, ok := codeOf[refusal.Kind]; ok {
			code = known
		}
		text = inLines(refusal)
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, agent.ErrAway):
		code = codes.Unavailable
	}
	switch code {
	case codes.Internal, codes.Unavailable, codes.PermissionDenied:
		log.WarnContext(ctx, "request failed", "method", method, "code", code.String(), "error", err)
	}
	return status.Error(code, text)
}

// inLines puts each reason on a line of its own. The message says the same in one line.
func inLines(refusal *agent.Refusal) string {
	if len(refusal.Reasons) == 0 {
		return strings.ToValidUTF8(refusal.Message, "\uFFFD")
	}
	var text strings.Builder
	for i, reason := range refusal.Reasons {
		if text.Len()+len(reason) > maxReasons {
			fmt.Fprintf(&text, "and %d more\n", len(refusal.Reasons)-i)
			break
		}
		text.WriteString(reason + "\n")
	}
	return strings.ToValidUTF8(strings.TrimSuffix(text.String(), "\n"), "\uFFFD")
}

// parseAddress takes what can be a source on the wire: an address without a zone.
func parseAddress(text string) (netip.Addr, error) {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, status.Errorf(codes.InvalidArgument, "%q is not a single IPv4 or IPv6 address", text)
	}
	return address, nil
}

func unlessZero(seconds uint32) *uint32 {
	if seconds == 0 {
		return nil
	}
	return &seconds
}

func policyState(state agent.State) *tripodv1.PolicyState {
	return &tripodv1.PolicyState{
		Name: state.Name, Digest: state.Digest, Interfaces: state.Interfaces,
		Revision: state.Revision, Pending: pending(state.Pending),
	}
}

func pending(change *agent.Pending) *tripodv1.Pending {
	if change == nil {
		return nil
	}
	return &tripodv1.Pending{Revision: change.Revision, Deadline: timestamppb.New(change.Deadline), By: change.By}
}

func change(made agent.Change) *tripodv1.PutPolicyResponse {
	response := &tripodv1.PutPolicyResponse{
		Changed: made.Changed, Revision: made.Revision, Pending: pending(made.Pending), Summary: made.Summary,
		Warnings: made.Warnings,
	}
	for _, flip := range made.Flips {
		response.Flips = append(response.Flips, &tripodv1.Flip{Frame: flip.Frame, Before: flip.Before, After: flip.After})
	}
	return response
}

func banned(ban agent.Ban) *tripodv1.Banned {
	return &tripodv1.Banned{
		Address: ban.Address.String(), Until: timestamppb.New(ban.Until), Owner: ban.Owner, By: ban.By, Comment: ban.Comment,
		Packets: ban.Packets,
	}
}
