package api

import (
	"net/http"
	"strings"
)

// record writes the audit log of a request with an API key, if it is configured.
func (h *Handler) record(r *request, status int) {
	if !r.by.Backend() || !h.audits(r.Request) {
		return
	}
	attributes := []any{"key", r.by.Key, "method", r.Method, "route", routeOf(r.Pattern), "status", status, "remote", r.RemoteAddr}
	for _, name := range []string{"channel", "user", "id"} {
		if value := r.PathValue(name); value != "" {
			attributes = append(attributes, name, value)
		}
	}
	h.log.Info("audit", append(attributes, r.details...)...)
}

func (h *Handler) audits(r *http.Request) bool {
	switch h.config.Audit {
	case AuditAll:
		return true
	case AuditOff:
		return false
	}
	if r.Method == http.MethodPost && (strings.HasSuffix(r.Pattern, "/messages") || strings.HasSuffix(r.Pattern, "/explain")) {
		return false
	}
	return r.Method != http.MethodGet && r.Method != http.MethodHead
}

// routeOf returns the path of a pattern, without the method.
func routeOf(pattern string) string {
	_, path, _ := strings.Cut(pattern, " ")
	return path
}
