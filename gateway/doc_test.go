package gateway_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidegate/broker/lock"
)

// The order that doc.go shows is the one that is checked.
func TestDoc_ShowsTheOrderOfLocks(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "// The order of locks.")
	section, _, _ = strings.Cut(section, "// What a channel with history promises")
	var shown, checked []string
	for _, line := range regexp.MustCompile(`(?m)^//\t(\w.*)$`).FindAllStringSubmatch(section, -1) {
		names, _, _ := strings.Cut(line[1], "  ")
		shown = append(shown, regexp.MustCompile(`\w+`).FindAllString(names, -1)...)
	}
	for _, place := range lock.Order() {
		checked = append(checked, reflect.TypeOf(place).Name())
	}
	if !slices.Equal(shown, checked) {
		t.Errorf("doc.go shows\n%v\nand what is checked is\n%v", shown, checked)
	}
}
