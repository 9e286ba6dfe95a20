package gateway

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"
)

// The page of errors must have one row for each code and each reason, and no others.
func TestErrors_PageHasAllOfThem(t *testing.T) {
	page := readFile(t, "errors.md")
	codes := rowsOf(regexp.MustCompile(`(?m)^\t\w+ +Code = "(\w+)"`), readFile(t, "failure.go"))
	if got := rowsOf(regexp.MustCompile("(?m)^\\| `(\\w+)` \\| \\d{3} \\|"), page); !slices.Equal(got, codes) {
		t.Errorf("the page has the codes\n%q, the code has\n%q", got, codes)
	}
	var ends []string
	for _, r := range reasons {
		ends = append(ends, fmt.Sprintf("%d | `%s`", r.Code, r.Label))
	}
	slices.Sort(ends)
	if got := rowsOf(regexp.MustCompile("(?m)^\\| (\\d{4} \\| `\\w+`) \\|"), page); !slices.Equal(got, ends) {
		t.Errorf("the page has the reasons\n%q, the code has\n%q", got, ends)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// rowsOf returns the matches of the pattern's first group, sorted.
func rowsOf(pattern *regexp.Regexp, text string) (rows []string) {
	for _, found := range pattern.FindAllStringSubmatch(text, -1) {
		if found[1] != "" {
			rows = append(rows, found[1])
		}
	}
	slices.Sort(rows)
	return rows
}
