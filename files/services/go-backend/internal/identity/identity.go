// Package identity is who this service is and whom it trusts, by certificates: three files of a directory, which are read again
// when they change. A connection that is there goes on; each new one is made with what the files hold then.
package identity

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// What the directory holds: whom this service trusts, its own certificate and its key.
const (
	AuthorityFile   = "ca.crt"
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
)

// Identity is the files of one directory, as they were when they last fitted together.
type Identity struct {
	directory string
	log       *slog.Logger

	mu      sync.Mutex
	stamp   string
	held    *files
	problem string
}

type files struct {
	own       tls.Certificate
	trusted   *x509.CertPool
	authority time.Time
}

// Open reads the files of a directory.
func Open(directory string, log *slog.Logger) (*Identity, error) {
	i := &Identity{directory: directory, log: log}
	// Before they are read, so that what is written meanwhile is read next time.
	i.stamp = i.look()
	held, err := read(directory)
	if err != nil {
		return nil, err
	}
	i.held = held
	return i, nil
}

// Name is what the service's own certificate calls it.
func (i *Identity) Name() string { return i.current().own.Leaf.DNSNames[0] }

// Ends returns when the service's own certificate ends, and the first of those it trusts: of two, as during a rotation, what the
// older one issued ends with it.
func (i *Identity) Ends() (own, authority time.Time) {
	held := i.current()
	return held.own.Leaf.NotAfter, held.authority
}

// Server is what a server does with each new connection: it takes those who have a certificate for one of the names.
func (i *Identity) Server(names ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			held := i.current()
			return &tls.Config{
				MinVersion:   tls.VersionTLS13,
				NextProtos:   []string{"h2"},
				Certificates: []tls.Certificate{held.own},
				ClientAuth:   tls.RequireAndVerifyClientCert,
				ClientCAs:    held.trusted,
				// Without tickets every connection shows its certificate.
				SessionTicketsDisabled: true,
				VerifyConnection:       func(state tls.ConnectionState) error { return require(state, names) },
			}, nil
		},
	}
}

// Client is how a client connects to the server of a name.
func (i *Identity) Client(name string) *tls.Config {
	held := i.current()
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2"},
		Certificates: []tls.Certificate{held.own},
		RootCAs:      held.trusted,
		ServerName:   name,
	}
}

func require(state tls.ConnectionState, names []string) error {
	found := state.PeerCertificates[0].DNSNames
	if slices.ContainsFunc(found, func(name string) bool { return slices.Contains(names, name) }) {
		return nil
	}
	return fmt.Errorf("the certificate is for %s, and calls are taken from %s",
		orNobody(found), strings.Join(names, " and "))
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// current returns what the files hold. While they do not fit together, as in the moment between two of them being written, it is
// what they held before.
func (i *Identity) current() *files {
	i.mu.Lock()
	defer i.mu.Unlock()
	stamp := i.look()
	if stamp == i.stamp {
		return i.held
	}
	held, err := read(i.directory)
	if err != nil {
		if problem := err.Error(); problem != i.problem {
			i.problem = problem
			i.log.Error("certificates cannot be used, going on with those from before", "error", err)
		}
		return i.held
	}
	i.stamp, i.held, i.problem = stamp, held, ""
	i.log.Info("certificates read again", "ends", held.own.Leaf.NotAfter)
	return held
}

// look returns a text that differs after any of the files was written again.
func (i *Identity) look() string {
	var stamp strings.Builder
	for _, name := range []string{AuthorityFile, CertificateFile, KeyFile} {
		if info, err := os.Stat(filepath.Join(i.directory, name)); err == nil {
			fmt.Fprintf(&stamp, "%d %d,", info.ModTime().UnixNano(), info.Size())
		}
	}
	return stamp.String()
}

func read(directory string) (*files, error) {
	authority := filepath.Join(directory, AuthorityFile)
	text, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	held := &files{trusted: x509.NewCertPool()}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", authority, err)
		}
		held.trusted.AddCert(certificate)
		if held.authority.IsZero() || certificate.NotAfter.Before(held.authority) {
			held.authority = certificate.NotAfter
		}
	}
	if held.authority.IsZero() {
		return nil, fmt.Errorf("%s holds no certificate", authority)
	}
	own := filepath.Join(directory, CertificateFile)
	if held.own, err = tls.LoadX509KeyPair(own, filepath.Join(directory, KeyFile)); err != nil {
		return nil, fmt.Errorf("%s: %w", own, err)
	}
	if len(held.own.Leaf.DNSNames) == 0 {
		return nil, fmt.Errorf("%s names no service", own)
	}
	return held, nil
}
