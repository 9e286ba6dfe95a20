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

// sizeOf returns the bytes of a notice that are bounded.
func sizeOf(n *broker.Notice) int {
	if n.Message == nil {
		return 0
	}
	return n.Message.Size()
}

// remove removes the notices that are in a line now: inLine says which of those at the
// indexes at, which ascend.
func (p *posts) remove(at []int, inLine []bool) {
	var left posts
	for i := range p.list {
		if len(at) == 0 || i != at[0] {
			left.add(p.list[i])
			continue
		}
		if !inLine[0] {
			left.add(p.list[i])
		}
		at, inLine = at[1:], inLine[1:]
	}
	*p = left
}
