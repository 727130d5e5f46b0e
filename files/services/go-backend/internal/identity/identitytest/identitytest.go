// Package identitytest makes authorities and certificates for tests.
package identitytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tripod/go-backend/internal/identity"
)

// Authority signs certificates.
type Authority struct {
	// PEM is its own certificate.
	PEM         []byte
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority returns an authority with a key of its own, good for an hour.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	return NewAuthorityUntil(t, time.Now().Add(time.Hour))
}

// NewAuthorityUntil returns one that ends then.
func NewAuthorityUntil(t testing.TB, ends time.Time) *Authority {
	t.Helper()
	key := newKey(t)
	template := template("CA")
	template.NotAfter = ends
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	made := sign(t, template, template, key, key)
	certificate, err := x509.ParseCertificate(made)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{PEM: encode("CERTIFICATE", made), certificate: certificate, key: key}
}

// Write puts a certificate for a name, its key, and the certificates of those it trusts into a directory.
func (a *Authority) Write(t testing.TB, directory, name string, ends time.Time, trusted ...*Authority) {
	t.Helper()
	key := newKey(t)
	template := template(name)
	template.DNSNames, template.NotAfter = []string{name}, ends
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	WriteFile(t, directory, identity.KeyFile, encode("PRIVATE KEY", private))
	WriteFile(t, directory, identity.CertificateFile, encode("CERTIFICATE", sign(t, template, a.certificate, key, a.key)))
	Trust(t, directory, trusted...)
}

// Directory returns a new directory with a certificate of an hour for a name, by an authority that alone is trusted.
func (a *Authority) Directory(t testing.TB, name string) string {
	t.Helper()
	directory := t.TempDir()
	a.Write(t, directory, name, time.Now().Add(time.Hour), a)
	return directory
}

// Trust has the owner of a directory trust these authorities.
func Trust(t testing.TB, directory string, trusted ...*Authority) {
	t.Helper()
	var all []byte
	for _, one := range trusted {
		all = append(all, one.PEM...)
	}
	WriteFile(t, directory, identity.AuthorityFile, all)
}

// WriteFile replaces a file as the role does: by a rename.
func WriteFile(t testing.TB, directory, name string, content []byte) {
	t.Helper()
	path := filepath.Join(directory, name)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-2 * time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

func sign(t testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
	t.Helper()
	made, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func encode(kind string, content []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
}
