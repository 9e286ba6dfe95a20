// Package tracing sends spans to an OpenTelemetry collector, from the publish of a message
// to the clients' sockets. It uses the official library, because that defines the protocol
// of collectors (OTLP, resources, retries) and the OTEL_* variables that operators know.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"tidegate/broker"
	"tidegate/gateway"
)

// Config configures a Tracer.
type Config struct {
	Endpoint string  // URL of the collector, such as https://host:4318; if empty, OTEL_EXPORTER_OTLP_ENDPOINT applies
	Ratio    float64 // share of publishes to trace, such as 0.01, if no backend has decided that
	Node     string  // name of the node
	Version  string
	Log      *slog.Logger // gets errors of the exporter, at most once a minute
}

// Tracer implements gateway.Tracer with spans. All methods are safe for concurrent use.
type Tracer struct {
	// Fixed at birth.
	ratio    float64
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

var _ gateway.Tracer = (*Tracer)(nil)

// New returns a Tracer that works until Close. The collector may start later.
func New(c Config) (*Tracer, error) {
	var options []otlptracehttp.Option
	if c.Endpoint != "" {
		options = append(options, otlptracehttp.WithEndpointURL(tracesURL(c.Endpoint)))
	}
	exporter, err := otlptracehttp.New(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	about, err := resource.New(context.Background(),
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", "tidegate"),
			attribute.String("service.version", c.Version),
			attribute.String("service.instance.id", c.Node)),
		resource.WithFromEnv()) // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	complaints := &rate.Sometimes{Interval: time.Minute}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { // such as an unreachable collector
		complaints.Do(func() { c.Log.Warn("traces were lost", "error", err) })
	}))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about), sdk.WithSampler(sdk.AlwaysSample())) // the Tracer itself samples, by ratio
	return &Tracer{c.Ratio, provider, provider.Tracer("tidegate")}, nil
}

// tracesURL returns the URL for traces, built as for OTEL_EXPORTER_OTLP_ENDPOINT.
func tracesURL(endpoint string) string { return strings.TrimSuffix(endpoint, "/") + "/v1/traces" }

// Close sends the remaining spans until ctx ends.
func (t *Tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Publish implements gateway.Tracer. A backend decides with the sampled flag of its
// traceparent whether its publish is traced; clients cannot decide that.
func (t *Tracer) Publish(p *gateway.Principal, channel, parent string) (string, func(error)) {
	before := contextOf(parent)
	if before.IsValid() && p.Backend() {
		if !before.IsSampled() {
			return "", nil
		}
	} else if rand.Float64() >= t.ratio {
		return "", nil
	}
	ctx, span := t.begin(before, "publish", channel, trace.WithSpanKind(trace.SpanKindProducer))
	return parentOf(ctx), func(err error) {
		if err != nil {
			e := gateway.ErrorOf(err)
			span.SetAttributes(attribute.String("error.type", string(e.Code)))
			span.SetStatus(codes.Error, e.Message)
		}
		span.End()
	}
}

// Deliver implements gateway.Tracer.
func (t *Tracer) Deliver(m *broker.Message, received time.Time) func(gateway.Delivered) {
	before := contextOf(m.Trace)
	if !before.IsSampled() {
		return nil
	}
	_, span := t.begin(before, "deliver", m.Channel, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(received))
	return func(d gateway.Delivered) {
		span.SetAttributes(attribute.Int("tidegate.sessions", d.Sessions), attribute.Int("tidegate.written", d.Written))
		span.End(trace.WithTimestamp(d.At))
	}
}

// begin starts a span. Its name is the operation, not the channel, because there may be any
// number of channels.
func (t *Tracer) begin(before trace.SpanContext, what, channel string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	options = append(options, trace.WithAttributes(
		attribute.String("messaging.system", "tidegate"),
		attribute.String("messaging.operation.name", what),
		attribute.String("messaging.destination.name", channel)))
	return t.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), before), what, options...)
}

const header = "traceparent"

// contextOf parses a traceparent. If it is malformed, the context is invalid.
func contextOf(parent string) trace.SpanContext {
	if parent == "" {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{header: parent})
	return trace.SpanContextFromContext(ctx)
}

func parentOf(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[header]
}
