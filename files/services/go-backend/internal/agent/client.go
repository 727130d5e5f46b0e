// Package agent asks the agent of the host, which alone may change what is loaded into the kernel, over its Unix socket.
//
// One question has one connection: a JSON object on a line each way. An agent that restarts is met by the next question.
package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	// answerTimeout bounds a question to an agent that has the largest of policies to compile, and to a context without an end.
	answerTimeout = 30 * time.Second
	// maxAnswer is far above any answer (bytes).
	maxAnswer = 16 << 20
)

// ErrAway is returned where no agent answers, or what answers is not the agent of this release.
var ErrAway = errors.New("the host's agent does not answer")

// Kind is the agent's word for why it refused.
type Kind string

// The kinds of refusals.
const (
	// Invalid: the question is not of the form, or breaks a limit.
	Invalid Kind = "invalid"
	// Missing: there is no such policy, revision or ban.
	Missing Kind = "missing"
	// Conflict: somebody else was faster, or another change waits for confirmation.
	Conflict Kind = "conflict"
	// Refused: the policy was tried, and a test of the operator's fails.
	Refused Kind = "refused"
	// Impossible: this host cannot do it.
	Impossible Kind = "impossible"
	// Busy: too much is asked at once.
	Busy Kind = "busy"
	// Forbidden: the socket's peer may not ask this.
	Forbidden Kind = "forbidden"
	// Failed: it went wrong on the way; the message says what is in force now.
	Failed Kind = "failed"
)

// Refusal is the agent's answer where it does not do what it was asked.
type Refusal struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	// Reasons are all that is wrong, each with the way out.
	Reasons []string `json:"reasons"`
}

func (r *Refusal) Error() string { return r.Message }

// Client asks the agent that listens at a path. It holds nothing open.
type Client struct {
	path string
}

// New returns a client of the socket at path, which need not exist yet.
func New(path string) *Client {
	return &Client{path: path}
}

// question is what every request begins with; the operation's own keys stand beside these.
type question struct {
	ID int    `json:"id"`
	Op string `json:"op"`
}

func ask(op string) question { return question{ID: 1, Op: op} }

type answer struct {
	ID     int             `json:"id"`
	OK     bool            `json:"ok"`
	Result json.RawMessage `json:"result"`
	Error  *Refusal        `json:"error"`
}

// call sends a request, which embeds a question, and reads the answer's result.
// It returns a *Refusal where the agent refused, and ErrAway for everything else.
func call[Result any](ctx context.Context, c *Client, request any) (Result, error) {
	var none, result Result
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	line, err := json.Marshal(request)
	if err != nil {
		return none, fmt.Errorf("encode a question to the agent: %w", err)
	}
	got, err := c.exchange(ctx, append(line, '\n'))
	if err != nil {
		return none, fmt.Errorf("%w at %s: %w", ErrAway, c.path, err)
	}
	if !got.OK {
		return none, got.Error
	}
	if err := decode(got.Result, &result); err != nil {
		return none, fmt.Errorf("%w at %s as this release expects: %w", ErrAway, c.path, err)
	}
	return result, nil
}

func (c *Client) exchange(ctx context.Context, line []byte) (*answer, error) {
	connection, err := new(net.Dialer).DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	// One who hangs up, or a deadline, ends a read or write under way.
	stop := context.AfterFunc(ctx, func() { _ = connection.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := connection.Write(line); err != nil {
		return nil, orCause(ctx, fmt.Errorf("ask: %w", err))
	}
	text, err := bufio.NewReader(io.LimitReader(connection, maxAnswer)).ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		if len(text) == maxAnswer {
			return nil, fmt.Errorf("it answers with more than %d bytes", maxAnswer)
		}
		return nil, fmt.Errorf("it hung up after %d bytes of its answer", len(text))
	}
	if err != nil {
		return nil, orCause(ctx, fmt.Errorf("read its answer: %w", err))
	}
	var got answer
	if err := decode(text, &got); err != nil {
		return nil, err
	}
	if got.ID != 1 || got.OK == (got.Error != nil) || got.OK == (got.Result == nil) {
		return nil, errors.New("its answer is neither a result nor a refusal of this question")
	}
	return &got, nil
}

// orCause prefers the reason why the context ended to what that did to the connection.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// decode reads one JSON value of exactly this form: a key that is not known here may change what the others mean.
func decode(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("its answer is not of the form: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("its answer is not of the form: more than one value on a line")
	}
	return nil
}
