package broker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// authority signs certificates for a test.
type authority struct {
	dir    string
	own    *x509.Certificate
	signer *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.own, a.signer = a.issue(t, "ca", &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	})
	return a
}

// issue writes NAME.pem and NAME.key.
func (a *authority) issue(t *testing.T, name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.own, a.signer
	if parent == nil {
		parent, signer = c, key
	}
	signed, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	a.write(t, name+".pem", "CERTIFICATE", signed)
	a.write(t, name+".key", "PRIVATE KEY", secret)
	made, err := x509.ParseCertificate(signed)
	must(t, err)
	return made, key
}

func (a *authority) write(t *testing.T, name, kind string, data []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})
	must(t, os.WriteFile(a.file(name), text, 0o600))
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// A Redis whose certificate is of an authority of one's own, and which wants to see
// the client's.
func TestRedis_TLS(t *testing.T) {
	brokertest.RequireRedis(t)
	a := newAuthority(t)
	a.issue(t, "redis", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	a.issue(t, "gateway", &x509.Certificate{})
	address := brokertest.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	brokertest.StartRedis(t, "--tls-port", port, "--tls-ca-cert-file", a.file("ca.pem"), "--tls-cert-file", a.file("redis.pem"),
		"--tls-key-file", a.file("redis.key"), "--tls-auth-clients", "yes")

	url := "rediss://" + address
	b, told := startNode(t, broker.RedisConfig{URL: url, TLSFiles: broker.RedisTLS{
		CAFile: a.file("ca.pem"), CertFile: a.file("gateway.pem"), KeyFile: a.file("gateway.key"),
	}})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	mustDeliver(t, b, told, []string{"a"})
	for name, files := range map[string]broker.RedisTLS{"no certificate": {CAFile: a.file("ca.pem")}, "the system's roots": {}} {
		_, told := startNode(t, broker.RedisConfig{URL: url, TLSFiles: files})
		if err := told.WaitDown(); err == nil {
			t.Errorf("%s: the link is up", name)
		}
	}
}

func TestNewRedis_TLSFiles(t *testing.T) {
	a := newAuthority(t)
	tests := map[string]struct {
		url   string
		files broker.RedisTLS
		want  string
	}{
		"without TLS":           {"redis://a", broker.RedisTLS{CAFile: a.file("ca.pem")}, "rediss"},
		"no such file":          {"rediss://a", broker.RedisTLS{CAFile: a.file("none")}, "no such file"},
		"a key for a CA":        {"rediss://a", broker.RedisTLS{CAFile: a.file("ca.key")}, "no certificate"},
		"a certificate alone":   {"rediss://a", broker.RedisTLS{CertFile: a.file("ca.pem")}, "together"},
		"a key of another kind": {"rediss://a", broker.RedisTLS{CertFile: a.file("ca.pem"), KeyFile: a.file("ca.pem")}, "redis TLS"},
	}
	for name, test := range tests {
		if _, err := broker.NewRedis(broker.RedisConfig{URL: test.url, TLSFiles: test.files}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, test.want)
		}
	}
}
