// Package agenttest plays the host's agent for tests.
package agenttest

import (
	"bufio"
	"encoding/json"
	"net"
	"path/filepath"
	"testing"

	"tripod/go-backend/internal/agent"
)

// Listen listens as the agent does until the test ends, answers one question at a time with a text of the test's, and
// returns a client of it.
func Listen(t *testing.T, reply func(asked map[string]any) string) *agent.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(connection).ReadBytes('\n')
			var asked map[string]any
			if err := json.Unmarshal(line, &asked); err != nil {
				t.Errorf("asked with %q: %v", line, err)
			}
			_, _ = connection.Write([]byte(reply(asked)))
			connection.Close()
		}
	}()
	return agent.New(path)
}
