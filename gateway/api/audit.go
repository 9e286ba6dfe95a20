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
	_, route, _ := strings.Cut(r.Pattern, " ") // without the method
	attributes := []any{"key", r.by.Key, "method", r.Method, "route", route, "status", status, "remote", r.RemoteAddr}
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
