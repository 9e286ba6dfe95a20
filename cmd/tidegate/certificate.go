package main

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"slices"
	"sync"
	"time"

	"tidegate/cmd/tidegate/internal/config"
)

// certificate is the certificate of the TLS listener. When its files change, handshakes use
// the new one within a second.
type certificate struct {
	// Fixed at birth.
	files config.TLS
	log   *slog.Logger

	// Guarded by mu.
	mu      sync.Mutex
	loaded  *tls.Certificate
	checked time.Time
	failed  string // the error of the last check, so that it is logged once
}

const certificateCheck = time.Second

func newCertificate(files config.TLS, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log}
	return c, c.load()
}

func (c *certificate) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}

// current returns the newest certificate that could be loaded.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < certificateCheck {
		return c.loaded
	}
	c.checked = time.Now()
	failed := ""
	if err := c.load(); err != nil {
		failed = err.Error()
		if failed != c.failed {
			c.log.Error("the TLS files changed and cannot be used: the old certificate stays", "error", err)
		}
	}
	c.failed = failed
	return c.loaded
}

// load loads the files.
func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		return err
	}
	if c.loaded != nil && !slices.EqualFunc(pair.Certificate, c.loaded.Certificate, bytes.Equal) {
		c.log.Info("the TLS files changed and were loaded")
	}
	c.loaded = &pair
	return nil
}
