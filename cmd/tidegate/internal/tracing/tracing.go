// Package tracing tells an OpenTelemetry collector of messages, from their publish to the
// clients' sockets. It stands on the official library, since what a collector takes, and
// the OTEL_* variables that operators know, are defined by that: OTLP, resources, retries.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"tidegate/broker"
	"tidegate/gateway"
)

// Config says what is traced, and who is told.
type Config struct {
	Endpoint string  // URL of the collector, https://host:4318; empty: what OTEL_EXPORTER_OTLP_ENDPOINT says
	Ratio    float64 // of the publishes that no backend has traced already: 0.01 is one of a hundred
	Node     string  // its name
	Version  string
	Log      *slog.Logger // told once a minute at most of what the collector did not take
}

// Tracer makes spans of what a gateway tells it. All methods may be called concurrently.
type Tracer struct {
	// Fixed at birth.
	ratio    float64
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

var _ gateway.Tracer = (*Tracer)(nil)

// New returns a Tracer that works until Close. The collector need not be there yet.
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
		resource.WithFromEnv()) // what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say counts
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	otel.SetErrorHandler(&complaints{log: c.Log})
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about), sdk.WithSampler(sdk.AlwaysSample())) // of what is sampled by ratio
	return &Tracer{c.Ratio, provider, provider.Tracer("tidegate")}, nil
}

// tracesURL returns where a collector takes traces, as OTEL_EXPORTER_OTLP_ENDPOINT has it.
func tracesURL(endpoint string) string { return strings.TrimSuffix(endpoint, "/") + "/v1/traces" }

// Close tells the collector of what it has not heard yet, for as long as ctx allows.
func (t *Tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Publish implements gateway.Tracer. A backend decides for itself, by the flag of its
// traceparent, whether what it publishes is traced; clients do not.
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

// begin begins a span, which is named for what is done and not for the channel, of which
// there may be any number.
func (t *Tracer) begin(before trace.SpanContext, what, channel string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	options = append(options, trace.WithAttributes(
		attribute.String("messaging.system", "tidegate"),
		attribute.String("messaging.operation.name", what),
		attribute.String("messaging.destination.name", channel)))
	return t.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), before), what, options...)
}

const header = "traceparent"

// contextOf reads a traceparent; one that is none is an invalid context.
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

// complaints logs what the library complains of, such as a collector that is away.
type complaints struct {
	log  *slog.Logger
	last atomic.Int64 // when something was logged, in ns since 1970
}

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	last, now := c.last.Load(), time.Now()
	if now.Sub(time.Unix(0, last)) >= time.Minute && c.last.CompareAndSwap(last, now.UnixNano()) {
		c.log.Warn("traces were lost", "error", err)
	}
}
