package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/cmd/tidegate/internal/config"
)

// waitForEnd reads until the peer closes the connection.
func waitForEnd(t *testing.T, c net.Conn) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	for {
		if _, err := c.Read(make([]byte, 512)); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Fatal("the connection was not ended")
			}
			return
		}
	}
}

func TestServe_TLSFollowsItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := config.TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	first := putCertificate(t, files, "first.example")
	p := startNode(t, nil, "--tls-cert-file", files.CertFile, "--tls-key-file", files.KeyFile)
	address := p.public("")[len("https://"):]
	if got := certificateOf(t, address); !bytes.Equal(got, first) {
		t.Fatal("the first handshake had another certificate than the file")
	}

	put(t, files.KeyFile, "broken")
	deadline := time.Now().Add(patience)
	for !said(p, "the old certificate stays") {
		if got := certificateOf(t, address); !bytes.Equal(got, first) {
			t.Fatal("with a broken file the certificate changed")
		}
		if time.Now().After(deadline) {
			t.Fatalf("the broken file was not told:\n%s", p.said())
		}
	}

	second := putCertificate(t, files, "second.example")
	for deadline := time.Now().Add(patience); !bytes.Equal(certificateOf(t, address), second); {
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is not used")
		}
	}
}

func TestCertificate_MissingFilesAreLoggedOnce(t *testing.T) {
	files, c, said := newTestCertificate(t)
	first := look(c)
	must(t, os.Remove(files.CertFile))
	for range 3 {
		if !bytes.Equal(look(c), first) {
			t.Error("the old certificate is gone")
		}
	}
	if lines := bytes.Count(said.Bytes(), []byte("\n")); lines != 1 {
		t.Errorf("%d lines:\n%s", lines, said)
	}
}

// A failure is logged again once the files could be used in between.
func TestCertificate_EachOutageOfItsFilesIsLogged(t *testing.T) {
	files, c, said := newTestCertificate(t)
	for outages := 1; outages <= 2; outages++ {
		must(t, os.Rename(files.CertFile, files.CertFile+".away"))
		look(c)
		must(t, os.Rename(files.CertFile+".away", files.CertFile))
		look(c)
		if lines := bytes.Count(said.Bytes(), []byte("cannot be used")); lines != outages {
			t.Fatalf("%d lines after %d outages:\n%s", lines, outages, said)
		}
	}
}

// Files that could not be read, as without the right to, are read again although neither
// their time nor their size changes.
func TestCertificate_FilesThatCouldNotBeReadAreReadAgain(t *testing.T) {
	files, c, _ := newTestCertificate(t)
	second := putCertificate(t, files, "b.example")
	key, err := os.ReadFile(files.KeyFile)
	must(t, err)
	written := time.Now().Add(-time.Minute)
	put(t, files.KeyFile, strings.Repeat("x", len(key)))
	must(t, os.Chtimes(files.KeyFile, written, written))
	if got := look(c); bytes.Equal(got, second) {
		t.Fatal("the new certificate is used without its key")
	}
	put(t, files.KeyFile, string(key))
	must(t, os.Chtimes(files.KeyFile, written, written))
	if got := look(c); !bytes.Equal(got, second) {
		t.Error("the new certificate is not used, though its key can be read now")
	}
}

func newTestCertificate(t *testing.T) (config.TLS, *certificate, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	files := config.TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	putCertificate(t, files, "a.example")
	said := new(bytes.Buffer)
	c, err := newCertificate(files, slog.New(slog.NewTextHandler(said, nil)))
	must(t, err)
	return files, c, said
}

// look returns the certificate of a handshake that checks the files.
func look(c *certificate) []byte {
	c.checked = time.Time{}
	return c.current().Certificate[0]
}

func said(p *process, text string) bool {
	line, _ := p.find(text)
	return line != ""
}

func certificateOf(t *testing.T, address string) []byte {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Raw
}

// putCertificate replaces the files by a new certificate and returns it.
func putCertificate(t *testing.T, files config.TLS, name string) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	put(t, files.CertFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	put(t, files.KeyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	return der
}
