package ctl

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// table prints rows under headings, with columns as wide as they need to be.
func table(out io.Writer, headings string, rows func(row func(cells ...any))) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...any) {
		texts := make([]string, len(cells))
		for i, cell := range cells {
			texts[i] = plain(fmt.Sprint(cell))
		}
		fmt.Fprintln(w, strings.Join(texts, "\t"))
	}
	fmt.Fprintln(w, strings.ReplaceAll(headings, " ", "\t"))
	rows(line)
	w.Flush()
}

// plain returns a text without what a terminal would act on: clients choose names.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\ufffd'
		}
		return r
	}, text)
}

// since says how long ago a time is, in milliseconds since 1970.
func since(milliseconds int64) string {
	return time.Since(time.UnixMilli(milliseconds)).Round(time.Second).String()
}

func clock(milliseconds int64) string {
	return time.UnixMilli(milliseconds).Format(time.RFC3339)
}

// oneOrMore returns "1 session", "2 sessions".
func oneOrMore(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
