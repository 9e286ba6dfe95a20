package ctl

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"tidegate/cmd/tidegate/internal/terminal"
)

// table prints rows below headings. Columns are as wide as necessary.
func table(out io.Writer, headings string, rows func(row func(cells ...any))) {
	cells := [][]string{strings.Fields(headings)}
	rows(func(row ...any) { cells = append(cells, texts(row)) })
	writeTable(out, cells)
}

func texts(cells []any) []string {
	all := make([]string, len(cells))
	for i, cell := range cells {
		all[i] = terminal.Plain(fmt.Sprint(cell))
	}
	return all
}

func writeTable(out io.Writer, rows [][]string) {
	w := tabwriter.NewWriter(out, 0, 0, gap, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
}

const (
	gap       = 2  // spaces between two columns
	leastName = 10 // shortest length of a shortened name in characters; no number is longer
)

// fit makes a table fit a line of the given width. It shortens long names, and then leaves
// out columns from the right.
func fit(rows [][]string, width int) [][]string {
	wants := widths(rows)
	least := slices.Clone(wants)
	for i := range least {
		least[i] = min(least[i], leastName)
	}
	for len(least) > 1 && lineOf(least) > width {
		least = least[:len(least)-1]
	}
	wants = wants[:len(least)]
	for lineOf(wants) > max(width, lineOf(least)) {
		wants[slices.Index(wants, slices.Max(wants))]--
	}
	fitted := make([][]string, len(rows))
	for i, row := range rows {
		for column, most := range wants {
			fitted[i] = append(fitted[i], shortened(row[column], most))
		}
	}
	return fitted
}

func widths(rows [][]string) []int {
	all := make([]int, len(rows[0]))
	for _, row := range rows {
		for column, cell := range row {
			all[column] = max(all[column], utf8.RuneCountInString(cell))
		}
	}
	return all
}

// lineOf returns the length of a line whose columns have these widths.
func lineOf(widths []int) int {
	sum := -gap
	for _, one := range widths {
		sum += one + gap
	}
	return sum
}

func shortened(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// since returns how long ago a time is that is given in milliseconds since 1970.
func since(milliseconds int64) string {
	return time.Since(time.UnixMilli(milliseconds)).Round(time.Second).String()
}

func clock(milliseconds int64) string {
	return time.UnixMilli(milliseconds).Format(time.RFC3339)
}

// oneOrMore returns text such as "1 session" or "2 sessions".
func oneOrMore(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
