package identity

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// quiet is how long the same refusal is not logged again; it is counted.
const quiet = 10 * time.Second

// Credentials are gRPC's: who connects without a certificate for one of the names is refused, and the log says why.
type Credentials struct {
	credentials.TransportCredentials
	identity *Identity

	refused atomic.Uint64

	mu   sync.Mutex
	said string
	when time.Time
}

// Credentials returns what a gRPC server listens with that is for clients of these names.
func (i *Identity) Credentials(names ...string) *Credentials {
	return &Credentials{TransportCredentials: credentials.NewTLS(i.Server(names...)), identity: i}
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *Credentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	connection, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		c.refused.Add(1)
		c.tell(raw.RemoteAddr(), err.Error())
	}
	return connection, info, err
}

// Refused returns how many connections were not taken.
func (c *Credentials) Refused() uint64 { return c.refused.Load() }

// Ends is that of the identity.
func (c *Credentials) Ends() (own, authority time.Time) { return c.identity.Ends() }

func (c *Credentials) tell(from net.Addr, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if reason == c.said && time.Since(c.when) < quiet {
		return
	}
	c.said, c.when = reason, time.Now()
	c.identity.log.Warn("connection refused", "client", from.String(), "reason", reason)
}
