package api_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/api"
)

func TestOpenAPI_IsValid(t *testing.T) {
	if err := load(t).Validate(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestOpenAPI_HasTheRoutesOfTheHandlerAndNoOthers(t *testing.T) {
	var described []string
	for path, item := range load(t).Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	g, err := gateway.New(gateway.Config{Broker: broker.NewMemory()})
	must(t, err)
	served := api.New(api.Config{Gateway: g}).Patterns()
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described: %q\nserved: %q", described, served)
	}
}

func TestOpenAPI_IsServed(t *testing.T) {
	n := startNode(t, noLimits)
	n.expect(call{method: "GET", path: "/api/openapi.yaml"}, 200, "openapi: 3.0.3")
	_, _, header := n.do(call{method: "GET", path: "/api/openapi.yaml"})
	again := call{method: "GET", path: "/api/openapi.yaml", header: http.Header{"If-None-Match": {header.Get("ETag")}}}
	if status, _, _ := n.do(again); status != http.StatusNotModified {
		t.Errorf("with its ETag %q: %d, want 304", header.Get("ETag"), status)
	}
}

func load(t testing.TB) *openapi3.T {
	t.Helper()
	document, err := os.ReadFile("openapi.yaml")
	must(t, err)
	description, err := openapi3.NewLoader().LoadFromData(document)
	must(t, err)
	return description
}

// described fails the test if an answer of next does not match openapi.yaml.
func described(t *testing.T, next http.Handler) http.Handler {
	description := load(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		if method, path, ok := strings.Cut(r.Pattern, " "); ok {
			checkAnswer(t, description, method, path, r, answer)
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

func checkAnswer(t *testing.T, description *openapi3.T, method, path string, r *http.Request, answer *httptest.ResponseRecorder) {
	item := description.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		t.Errorf("%s %s is not described", method, path)
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r,
			Route:   &routers.Route{Spec: description, Path: path, PathItem: item, Method: method, Operation: item.GetOperation(method)},
		},
		Status: answer.Code, Header: answer.Header(),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	input.SetBodyBytes(bytes.Clone(answer.Body.Bytes()))
	if err := openapi3filter.ValidateResponse(context.Background(), input); err != nil {
		t.Errorf("%s %s: %d %s is not as described: %v", method, path, answer.Code, answer.Body, err)
	}
}
