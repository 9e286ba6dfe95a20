package main

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"time"

	"golang.org/x/time/rate"
)

// serverLog takes what net/http logs. Of the lines that any client can cause, by a connection
// that it breaks, it logs one a minute as a warning and the others for debugging.
type serverLog struct {
	log      *slog.Logger
	warnings *rate.Limiter
}

func newServerLog(to *slog.Logger) *log.Logger {
	return log.New(serverLog{to, rate.NewLimiter(rate.Every(time.Minute), 1)}, "", 0)
}

func (l serverLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	if isOfClient(line) && !l.warnings.Allow() {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}

// isOfClient reports whether a line is about one connection. All lines of HTTP/2 are.
func isOfClient(line []byte) bool {
	return !bytes.HasPrefix(line, []byte("http: ")) || bytes.HasPrefix(line, []byte("http: TLS handshake error"))
}
