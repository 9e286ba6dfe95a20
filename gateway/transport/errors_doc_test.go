package transport_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

func TestErrors_PageTellsTheirStatuses(t *testing.T) {
	page, err := os.ReadFile("../errors.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\d{3}) \\|").FindAllStringSubmatch(string(page), -1)
	if len(rows) == 0 {
		t.Fatal("the page has no codes")
	}
	for _, row := range rows {
		if got := transport.StatusOf(&gateway.Error{Code: gateway.Code(row[1])}); strconv.Itoa(got) != row[2] {
			t.Errorf("the page says %s for %s, the code %d", row[2], row[1], got)
		}
	}
}
