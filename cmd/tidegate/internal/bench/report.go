package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"tidegate/cmd/tidegate/internal/terminal"
)

// Report is the output of a command: a benchmark of one or more servers. The JSON names are
// those of --json.
type Report struct {
	Title   string      `json:"benchmark"`
	Servers []*Measured `json:"servers"`
}

// Measured is a server with its results.
type Measured struct {
	Name string    `json:"server"`
	Runs []*Result `json:"runs"`
	site *site
}

// measure runs a benchmark on the servers in turn, the given number of times.
func (r *Report) measure(ctx context.Context, b benchmark, runs int) error {
	for range runs {
		for _, s := range r.Servers {
			result, err := b.measure(ctx, s.site)
			s.site.progress.Clear()
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			s.Runs = append(s.Runs, result)
		}
	}
	return nil
}

// print prints the medians, one column per server, and the problems of each run; or all
// results as JSON.
func (r *Report) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return terminal.JSON(out, r)
	}
	first := r.Servers[0].Runs
	fmt.Fprintf(out, "%s\n", r.Title)
	if len(first) > 1 {
		fmt.Fprintf(out, "Median of %d runs.\n", len(first))
	}
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, s := range r.Servers {
		fmt.Fprintf(table, "\t%s\t", s.Name)
	}
	fmt.Fprintln(table)
	for _, row := range tableRows {
		r.printRow(table, row)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if meaning := first[0].LatencyMeaning; meaning != "" {
		fmt.Fprintf(out, "\nLatency is measured %s.\n", meaning)
	}
	for _, s := range r.Servers {
		for i, result := range s.Runs {
			if len(result.Problems) > 0 {
				fmt.Fprintf(out, "\nProblems of %s in run %d:\n  %s\n", s.Name, i+1, strings.Join(result.Problems, "\n  "))
			}
		}
	}
	return nil
}

// printRow prints one row of the table, or nothing if no server has a value for it. If the row
// is to be compared, the values of the other servers are followed by their ratio to the first
// server's.
func (r *Report) printRow(table io.Writer, row tableRow) {
	isKnown := func(s *Measured) bool { _, known := s.median(row); return known }
	if !slices.ContainsFunc(r.Servers, isKnown) {
		return
	}
	fmt.Fprint(table, row.label(r.Servers[0].Runs[0]))
	first, _ := r.Servers[0].median(row)
	for i, s := range r.Servers {
		value, known := s.median(row)
		if !known {
			fmt.Fprint(table, "\t-\t")
			continue
		}
		fmt.Fprintf(table, "\t%s\t", figure(value, row.places))
		if i > 0 && row.compared && value > 0 && first > 0 {
			fmt.Fprintf(table, "%.2f x", value/first)
		}
	}
	fmt.Fprintln(table, "\t")
}

func (s *Measured) median(row tableRow) (float64, bool) {
	var values []float64
	for _, r := range s.Runs {
		if v, known := row.value(r); known {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	return values[len(values)/2], true
}
