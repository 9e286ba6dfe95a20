package console_test

import (
	"os/exec"
	"testing"

	"tidegate/broker/brokertest"
)

// The client's unit tests are written in JavaScript: see testdata.
func TestClient(t *testing.T) {
	node := brokertest.FindProgram(t, "node", "nodejs")
	out, err := exec.CommandContext(t.Context(), node, "--test", "testdata/tidegate.test.mjs").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
