package attendance

import "tidegate/broker"

// posts are notices that are not in a line yet, oldest first.
type posts struct {
	list  []broker.Notice
	bytes int
}

func (p *posts) add(n broker.Notice) {
	p.list, p.bytes = append(p.list, n), p.bytes+sizeOf(&n)
}

// sizeOf returns the bytes of a notice that count towards mostPostBytes.
func sizeOf(n *broker.Notice) int {
	if n.Message == nil {
		return 0
	}
	return len(n.Message.Payload)
}

// remove removes the notices that are in a line now; inLine covers the oldest posts.
func (p *posts) remove(inLine []bool) {
	var left posts
	for i := range p.list {
		if i >= len(inLine) || !inLine[i] {
			left.add(p.list[i])
		}
	}
	*p = left
}
