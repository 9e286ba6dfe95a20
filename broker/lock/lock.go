// Package lock provides the mutexes of a node. Each has a place in the one order in which
// they may be taken. See doc.go of package gateway for that order and the reasons for it.
//
// In an ordinary build Mutex and RWMutex are those of package sync. In a build with the tag
// lockorder, a goroutine that takes a lock out of order ends the program with a report of
// where it took which lock.
package lock

// The places, named after what their locks guard.
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

// Order returns all places, the outermost first. A goroutine that holds a lock may only
// take locks of later places, except that it may hold several of Joining at once.
func Order() []any {
	return []any{
		Expiring{}, Joining{},
		MemoryPresence{}, Memory{}, MemoryChannel{}, Telling{}, Board{},
		Channel{}, Traced{}, Session{}, Places{}, Shard{}, Attendance{},
		Link{}, Partition{}, Questions{}, Answers{}, Connections{}, Sender{}, Relay{},

		Sessions{}, Departing{}, Dialects{}, Publishing{}, Gathering{}, InLine{}, Outbox{}, Line{}, Archive{},
		Rates{}, Bucket{}, Nodes{},
		Lane{}, Connection{}, Masters{}, Trust{}, Processes{}, Flights{}, Refusals{}, Register{},
		Group{},
	}
}
