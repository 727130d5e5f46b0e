package identity_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"tripod/go-backend/internal/identity"
	"tripod/go-backend/internal/identity/identitytest"
)

// log is what a server logs, to be read while it does.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *log) says(words string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), words)
}

// serve runs a gRPC server of go-backend's that takes calls from flask-backend.
func serve(t *testing.T, directory string) (address string, logged *log, used *identity.Credentials) {
	t.Helper()
	logged = &log{}
	who, err := identity.Open(directory, slog.New(slog.NewTextHandler(logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	used = who.Credentials("flask-backend", who.Name())
	server := grpc.NewServer(grpc.Creds(used))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String(), logged, used
}

func connect(t *testing.T, address string, with credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	connection, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(with), grpc.WithNoProxy())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

// ask calls over a connection of its own, as a client that holds the files of a directory.
func ask(t *testing.T, address, directory, server string) error {
	t.Helper()
	who, err := identity.Open(directory, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	return call(t.Context(), connect(t, address, credentials.NewTLS(who.Client(server))))
}

func call(ctx context.Context, connection *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return err
}

func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func TestWhoHasACertificateForOneOfTheNamesIsServed(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	directory := authority.Directory(t, "go-backend")
	address, _, used := serve(t, directory)
	for _, client := range []string{authority.Directory(t, "flask-backend"), directory} {
		if err := ask(t, address, client, "go-backend"); err != nil {
			t.Error(err)
		}
	}
	if used.Refused() != 0 {
		t.Errorf("%d were refused", used.Refused())
	}
}

func TestEveryoneElseIsRefusedAndTheLogSaysWhy(t *testing.T) {
	authority, other := identitytest.NewAuthority(t), identitytest.NewAuthority(t)
	address, logged, used := serve(t, authority.Directory(t, "go-backend"))
	stranger, expired := t.TempDir(), t.TempDir()
	other.Write(t, stranger, "flask-backend", time.Now().Add(time.Hour), authority)
	authority.Write(t, expired, "flask-backend", time.Now().Add(-time.Minute), authority)
	anonymous := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	for _, test := range []struct {
		what   string
		client func() error
		says   string
	}{
		{"wrong CA", func() error { return ask(t, address, stranger, "go-backend") }, "signed by unknown authority"},
		{"expired", func() error { return ask(t, address, expired, "go-backend") }, "expired"},
		{
			"wrong name", func() error { return ask(t, address, authority.Directory(t, "webui"), "go-backend") },
			"the certificate is for webui, and calls are taken from flask-backend and go-backend",
		},
		{
			"no certificate", func() error { return call(t.Context(), connect(t, address, credentials.NewTLS(anonymous))) },
			"client didn't provide a certificate",
		},
		{
			"no TLS", func() error { return call(t.Context(), connect(t, address, insecure.NewCredentials())) },
			"does not look like a TLS handshake",
		},
	} {
		t.Run(test.what, func(t *testing.T) {
			before := used.Refused()
			if err := test.client(); err == nil {
				t.Error("it was served")
			}
			eventually(t, "the log does not say "+test.says, func() bool { return logged.says(test.says) })
			if used.Refused() == before {
				t.Error("it was not counted")
			}
		})
	}
}

func TestAClientRefusesAnotherServerAndSaysWhy(t *testing.T) {
	authority, other := identitytest.NewAuthority(t), identitytest.NewAuthority(t)
	client := authority.Directory(t, "flask-backend")
	expired := t.TempDir()
	authority.Write(t, expired, "go-backend", time.Now().Add(-time.Minute), authority)
	for _, test := range []struct{ what, server, name, says string }{
		{"wrong CA", other.Directory(t, "go-backend"), "go-backend", "signed by unknown authority"},
		{"expired", expired, "go-backend", "expired"},
		{"wrong name", authority.Directory(t, "postgres"), "go-backend", "valid for postgres, not go-backend"},
	} {
		t.Run(test.what, func(t *testing.T) {
			address, _, _ := serve(t, test.server)
			if err := ask(t, address, client, test.name); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
}

// A rotation as playbooks/rotate_ca.yml does it, with clients that connect anew for each call all the while.
func TestARenewalAndARotationUnderLoadFailNoCall(t *testing.T) {
	first, second := identitytest.NewAuthority(t), identitytest.NewAuthority(t)
	server, client := first.Directory(t, "go-backend"), first.Directory(t, "flask-backend")
	address, _, _ := serve(t, server)
	who, err := identity.Open(client, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	var calls, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 4 {
		running.Add(1)
		go func() {
			defer running.Done()
			for ctx.Err() == nil {
				connection, err := grpc.NewClient("passthrough:///"+address,
					grpc.WithTransportCredentials(credentials.NewTLS(who.Client("go-backend"))), grpc.WithNoProxy())
				if err == nil {
					err = call(context.WithoutCancel(ctx), connection)
					connection.Close()
				}
				if calls.Add(1); err != nil {
					failed.Add(1)
					t.Error(err)
				}
			}
		}()
	}
	hour := time.Now().Add(time.Hour)
	for _, step := range []func(){
		func() { first.Write(t, server, "go-backend", hour, first) },
		func() { first.Write(t, client, "flask-backend", hour, first) },
		func() { identitytest.Trust(t, server, first, second) },
		func() { identitytest.Trust(t, client, first, second) },
		func() { second.Write(t, server, "go-backend", hour, first, second) },
		func() { second.Write(t, client, "flask-backend", hour, first, second) },
		func() { identitytest.Trust(t, server, second) },
		func() { identitytest.Trust(t, client, second) },
	} {
		step()
		reached := calls.Load() + 40
		eventually(t, "calls do not go on", func() bool { return calls.Load() > reached || t.Failed() })
	}
	stop()
	running.Wait()
	if failed.Load() != 0 {
		t.Errorf("%d of %d calls failed", failed.Load(), calls.Load())
	}
	if err := ask(t, address, first.Directory(t, "flask-backend"), "go-backend"); err == nil {
		t.Error("the former authority is trusted still")
	}
}

// Of two that are trusted, as during a rotation, the first one to end takes what it issued with it.
func TestTheAuthorityEndsWhereTheFirstOfThoseThatAreTrustedDoes(t *testing.T) {
	soon, late := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(100*time.Hour)
	first, second := identitytest.NewAuthorityUntil(t, soon), identitytest.NewAuthorityUntil(t, late)
	for _, trusted := range [][]*identitytest.Authority{{first, second}, {second, first}} {
		directory := t.TempDir()
		second.Write(t, directory, "go-backend", late, trusted...)
		who, err := identity.Open(directory, slog.Default())
		if err != nil {
			t.Fatal(err)
		}
		if _, authority := who.Ends(); !authority.Equal(soon) {
			t.Errorf("it ends at %s, want %s", authority, soon)
		}
	}
}

func TestFilesThatDoNotFitTogetherChangeNothing(t *testing.T) {
	authority := identitytest.NewAuthority(t)
	directory, other := authority.Directory(t, "go-backend"), authority.Directory(t, "go-backend")
	address, logged, _ := serve(t, directory)
	key, err := os.ReadFile(filepath.Join(other, identity.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	client := authority.Directory(t, "flask-backend")
	for name, content := range map[string][]byte{
		identity.KeyFile: key, identity.CertificateFile: []byte("no PEM"), identity.AuthorityFile: nil,
	} {
		identitytest.WriteFile(t, directory, name, content)
		if err := ask(t, address, client, "go-backend"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !logged.says("certificates cannot be used") {
		t.Error("the log does not say so")
	}
	if _, err := identity.Open(directory, slog.Default()); err == nil {
		t.Error("a new start takes them")
	}
}

// The key is a pipe, so that the files are replaced after two of them were read and before the third one was.
func TestFilesThatAreReplacedWhileTheyAreOpenedAreReadAgain(t *testing.T) {
	first, second := identitytest.NewAuthority(t), identitytest.NewAuthority(t)
	directory := first.Directory(t, "go-backend")
	path := filepath.Join(directory, identity.KeyFile)
	key, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	var replaced error
	done := make(chan struct{})
	go func() {
		defer close(done)
		pipe, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			replaced = err
			return
		}
		second.Write(t, directory, "renewed", time.Now().Add(time.Hour), second)
		_, err = pipe.Write(key)
		replaced = errors.Join(err, pipe.Close())
	}()
	who, err := identity.Open(directory, slog.New(slog.DiscardHandler))
	<-done
	if err := errors.Join(err, replaced); err != nil {
		t.Fatal(err)
	}
	if who.Name() != "renewed" {
		t.Errorf("it is %s still", who.Name())
	}
}
