package identity

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"
)

// Calls returns what a gRPC client of the server of a name connects with: each connection with what the files hold then.
func (i *Identity) Calls(name string) credentials.TransportCredentials {
	return &calls{credentials.NewTLS(i.Client(name)), i, name}
}

type calls struct {
	credentials.TransportCredentials
	identity *Identity
	name     string
}

// ClientHandshake implements credentials.TransportCredentials.
func (c *calls) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(c.identity.Client(c.name)).ClientHandshake(ctx, authority, raw)
}

// Clone implements credentials.TransportCredentials.
func (c *calls) Clone() credentials.TransportCredentials { return c.identity.Calls(c.name) }
