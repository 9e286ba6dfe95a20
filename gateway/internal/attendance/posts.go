package attendance

import (
	"slices"

	"tidegate/broker"
)

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
		if tried, was := slices.BinarySearch(at, i); !was || !inLine[tried] {
			left.add(p.list[i])
		}
	}
	*p = left
}
