package gateway_test

import (
	"testing"
	"testing/synctest"

	"tidegate/gateway"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/rules"
	"tidegate/metrics"
)

func TestDelivered_CountsWhatIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New("")
		n := startNode(t, gateway.Config{Metrics: m, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone}}})
		delivered := func() (messages, bytes int) {
			synctest.Wait()
			return gatewaytest.Sum(t, m, "tidegate_messages_delivered_total"), gatewaytest.Sum(t, m, "tidegate_delivered_bytes_total")
		}
		p := n.connectAs("", "a")
		_, before := delivered()
		resume := p.stall()
		for _, text := range []string{"one", "two", "three"} {
			n.publish("a", "%s", text)
			if messages, bytes := delivered(); messages != 0 || bytes != before {
				t.Errorf("%d messages and %d bytes count as delivered to who reads nothing", messages, bytes-before)
			}
		}
		resume()
		want := len("message a one \nmessage a two \nmessage a three \n")
		if messages, bytes := delivered(); messages != 3 || bytes-before != want {
			t.Errorf("%d messages and %d bytes are delivered, want 3 and %d", messages, bytes-before, want)
		}
	})
}
