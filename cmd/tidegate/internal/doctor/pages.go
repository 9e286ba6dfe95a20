package doctor

import (
	"context"
	"net/http"
	"slices"
)

// lookAtPages sends the requests that browsers send for pages, of the URL itself and
// of other origins.
func (e *examination) lookAtPages(ctx context.Context) {
	own := e.URL.Scheme + "://" + e.URL.Host
	if e.refusesPage(ctx, own) && !slices.ContainsFunc(e.report.Findings, isOfOrigin) {
		e.find(slices.Concat(cureHost, cureScheme), "Pages of %s itself are rejected: nodes see another Host or scheme.", own)
	}
	for _, origin := range e.Origins {
		if e.refusesPage(ctx, origin) {
			e.find(inConfiguration(`origins: ["`+origin+`"]`), "Pages of %s are rejected.", origin)
		}
	}
}

// isOfOrigin reports whether a finding already explains why pages of the URL are refused.
func isOfOrigin(f Finding) bool {
	return slices.Equal(f.Cures, cureHost) || slices.Equal(f.Cures, cureScheme)
}

func (e *examination) refusesPage(ctx context.Context, origin string) bool {
	answer, err := e.ask(ctx, http.MethodOptions, "/poll", http.Header{
		"Origin": {origin}, "Access-Control-Request-Method": {http.MethodGet},
	}, nil)
	if err != nil {
		e.pass("pages of %s: %v", origin, err)
		return false
	}
	return answer.status == http.StatusForbidden
}
