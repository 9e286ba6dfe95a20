package api

import "maps"

// Patterns returns the patterns of all routes.
func (h *Handler) Patterns() []string {
	patterns := []string{"GET /api/openapi.yaml"}
	for pattern := range maps.Keys(h.routes()) {
		patterns = append(patterns, pattern)
	}
	return patterns
}

var (
	KindOf     = kindOf
	ParseBatch = parseBatch
)
