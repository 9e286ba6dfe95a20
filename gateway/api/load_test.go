package api_test

import "testing"

func TestLoad_TellsOfNodesChannelsAndWhoIsSlow(t *testing.T) {
	n := startNode(t, noLimits)
	n.open("alice", "log:a")
	n.haunt()
	var got struct {
		Nodes []struct {
			Node             string
			Silent           bool
			Sessions, Slow   int
			Unready, Version string
		}
		Channels, Slow []any
	}
	n.get("/api/load", &got)
	if len(got.Nodes) != 2 || got.Channels == nil || got.Slow == nil {
		t.Fatalf("%+v", got)
	}
	for _, is := range got.Nodes {
		if is.Silent != (is.Node == "ghost") || !is.Silent && (is.Sessions != 1 || is.Unready != "") {
			t.Errorf("%+v", is)
		}
	}
}

func TestLoad_IsForBackends(t *testing.T) {
	n := startNode(t, noLimits)
	n.expect(call{method: "GET", path: "/api/load"}, 401, "unauthenticated")
	n.expect(call{method: "GET", path: "/api/load", credential: logKey}, 403, "forbidden")
	for _, most := range []string{"-1", "51", "x"} {
		n.expect(call{method: "GET", path: "/api/load?most=" + most, credential: shopKey}, 400, "want a number from 0 to 50")
	}
}
