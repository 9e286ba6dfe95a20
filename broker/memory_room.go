package broker

// memoryRoom is who is on one channel.
type memoryRoom struct {
	name     string
	position Position
	nodes    map[string]memoryStay
	members  map[string]*memoryMember
	vacates  bool // it lingers
}

// memoryStay is what a node has on a channel.
type memoryStay struct {
	sessions int
	version  uint64
}

type memoryMember struct {
	Member
	nodes map[string]int // sessions
}

func (m *memoryMember) sum() Member {
	all := m.Member
	all.Sessions = 0
	for _, sessions := range m.nodes {
		all.Sessions += sessions
	}
	return all
}

func (c *memoryRoom) sessions() (n int) {
	for _, stay := range c.nodes {
		n += stay.sessions
	}
	return n
}
