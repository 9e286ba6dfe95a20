package config

import (
	"strings"
	"testing"
)

func TestTracing_ToNobodyOrWithoutAShareIsAProblem(t *testing.T) {
	for text, want := range map[string]string{
		"tracing: {endpoint: 'http://127.0.0.1:4318'}":                 "tracing.enabled is false",
		"tracing: {enabled: true, endpoint: '127.0.0.1:4318'}":         "want the URL of a collector",
		"tracing: {enabled: true, endpoint: 'http://127.0.0.1:99999'}": "the port is out of range",
		"tracing: {enabled: true, ratio: 1.5}":                         "want a number from 0 to 1",
		"tracing: {enabled: true, ratio: NaN}":                         "want a number from 0 to 1",
		"tracing: {enabled: true, ratio: 1}":                           "",
	} {
		_, _, err := File(write(t, "tidegate.yaml", text), nil).Load()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
