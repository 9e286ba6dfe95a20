package broker

// memoryRoom holds the presence on one channel.
type memoryRoom struct {
	name     string
	position Position
	nodes    map[string]memoryStay
	members  map[string]*memoryMember
	vacates  bool // nobody is there, but the channel still lingers
}

// memoryStay is the presence of one node on a channel.
type memoryStay struct {
	sessions int
	version  uint64
}

type memoryMember struct {
	Member
	nodes map[string]int // sessions by node
}

// sum returns the member with its sessions on all nodes.
func (m *memoryMember) sum() Member {
	all := m.Member
	all.Sessions = 0
	for _, sessions := range m.nodes {
		all.Sessions += sessions
	}
	return all
}

// sessions returns the number of sessions on all nodes.
func (c *memoryRoom) sessions() (n int) {
	for _, stay := range c.nodes {
		n += stay.sessions
	}
	return n
}
