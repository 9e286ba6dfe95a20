// Package lock has the mutexes of a node, each with its place in the one order in
// which they may be taken. Package gateway, doc.go, shows that order and says what is
// behind it.
//
// In an ordinary build they are those of package sync, and nothing else. In a build
// with the tag lockorder a goroutine that takes one out of order ends the program, and
// says where it took which.
package lock

// The places, named for what their mutexes guard.
type (
	Expiring       struct{}
	Joining        struct{}
	MemoryPresence struct{}
	Memory         struct{}
	MemoryChannel  struct{}
	Telling        struct{}
	Board          struct{}
	Channel        struct{}
	Traced         struct{}
	Session        struct{}
	Places         struct{}
	Shard          struct{}
	Attendance     struct{}
	Link           struct{}
	Partition      struct{}
	Questions      struct{}
	Answers        struct{}
	Connections    struct{}
	Sender         struct{}
	Relay          struct{}

	Sessions   struct{}
	Departing  struct{}
	Dialects   struct{}
	Publishing struct{}
	Gathering  struct{}
	InLine     struct{}
	Outbox     struct{}
	Line       struct{}
	Archive    struct{}
	Rates      struct{}
	Bucket     struct{}
	Words      struct{}
	Nodes      struct{}
	Lane       struct{}
	Connection struct{}
	Masters    struct{}
	Trust      struct{}
	Processes  struct{}
	Flights    struct{}
	Refusals   struct{}
	Register   struct{}
	Group      struct{}
)

// Order is all places, the outermost first. A goroutine that holds a mutex may take
// those that come later, and no other; of Joining alone it may hold several.
func Order() []any {
	return []any{
		Expiring{}, Joining{},
		MemoryPresence{}, Memory{}, MemoryChannel{}, Telling{}, Board{},
		Channel{}, Traced{}, Session{}, Places{}, Shard{}, Attendance{},
		Link{}, Partition{}, Questions{}, Answers{}, Connections{}, Sender{}, Relay{},

		Sessions{}, Departing{}, Dialects{}, Publishing{}, Gathering{}, InLine{}, Outbox{}, Line{}, Archive{},
		Rates{}, Bucket{}, Words{}, Nodes{},
		Lane{}, Connection{}, Masters{}, Trust{}, Processes{}, Flights{}, Refusals{}, Register{},
		Group{},
	}
}
