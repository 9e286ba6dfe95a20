//go:build npm

package console_test

import (
	"context"
	"os"
	"testing"
)

// axeFindsNoFault checks the page with axe, in each state and look: contrast, names, roles,
// landmarks, headings and more. axe misses most problems of accessibility, but those that it
// finds are real.
func axeFindsNoFault(t *testing.T, browser context.Context, path string) {
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	eachState(t, browser, func(p *page) []string {
		if !evaluate[bool](p, `"axe" in window`) {
			evaluate[any](p, string(axe)+"; null")
		}
		return evaluate[[]string](p, `axe.run({ resultTypes: ["violations"] }).then(({ violations }) =>
			violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => id + ": " + html.slice(0, 150) + " " + failureSummary)))`)
	})
}
