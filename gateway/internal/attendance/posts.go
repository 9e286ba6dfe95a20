package attendance

import "tidegate/broker"

// posts are notices that this node has to put in line, the oldest first.
type posts struct {
	list  []broker.Notice
	bytes int
}

func (p *posts) add(n broker.Notice) {
	p.list, p.bytes = append(p.list, n), p.bytes+sizeOf(&n)
}

// sizeOf returns the bytes of a notice that count.
func sizeOf(n *broker.Notice) int {
	if n.Message == nil {
		return 0
	}
	return len(n.Message.Payload)
}

// remove removes of the oldest those that are in line.
func (p *posts) remove(inLine []bool) {
	var left posts
	for i := range p.list {
		if i >= len(inLine) || !inLine[i] {
			left.add(p.list[i])
		}
	}
	*p = left
}
