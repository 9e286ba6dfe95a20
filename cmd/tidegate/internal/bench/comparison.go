package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// compared is a server with its results.
type compared struct {
	Name string    `json:"server"`
	Runs []*Result `json:"runs"`
	site *site
}

// printComparison prints the medians, one column per server, and the problems of each run;
// or all results as JSON.
func printComparison(out io.Writer, title string, servers []*compared, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			Title   string      `json:"benchmark"`
			Servers []*compared `json:"servers"`
		}{title, servers})
	}
	fmt.Fprintf(out, "%s\nMedian of %d.\n\n", title, len(servers[0].Runs))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, s := range servers {
		fmt.Fprintf(table, "\t%s\t", s.Name)
	}
	fmt.Fprintln(table)
	for _, row := range tableRows {
		printCompared(table, row, servers)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, s := range servers {
		for i, r := range s.Runs {
			printNotHeld(out, fmt.Sprintf(" by %s in run %d", s.Name, i+1), r)
		}
	}
	return nil
}

// printCompared prints one row of the table, or nothing if no server has a value for it. If
// the row is to be compared, each value is followed by its ratio to the first server's.
func printCompared(table io.Writer, row tableRow, servers []*compared) {
	first, known := servers[0].median(row)
	for _, s := range servers[1:] {
		_, other := s.median(row)
		known = known || other
	}
	if !known {
		return
	}
	fmt.Fprint(table, row.label(servers[0].Runs[0]))
	for _, s := range servers {
		value, known := s.median(row)
		if !known {
			fmt.Fprint(table, "\t-\t")
			continue
		}
		fmt.Fprintf(table, "\t%s\t", figure(value, row.places))
		if times := ratio(value, first); row.compared && times > 0 {
			fmt.Fprintf(table, "%.2f x", times)
		}
	}
	fmt.Fprintln(table, "\t")
}

func (s *compared) median(row tableRow) (float64, bool) {
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
