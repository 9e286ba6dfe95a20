package config

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// Nearest returns the name in known, or the group of names, that is most similar to name.
// Dots separate groups.
func Nearest(name string, known []string) string {
	best, least := "", -1
	for _, one := range known {
		for ; one != ""; one = parent(one) {
			if d := distance(name, one); least < 0 || d < least {
				best, least = one, d
			}
		}
	}
	return best
}

// Resembles reports whether a name may be a misspelt or an incomplete known one.
func Resembles(name, known string) bool {
	return strings.Contains(known, name) || levenshtein.ComputeDistance(name, known) <= len(name)/2
}

// distance returns the edit distance of two names, or of their last parts in case a key is
// in the wrong group.
func distance(a, b string) int {
	whole := levenshtein.ComputeDistance(a, b)
	return min(whole, 1+levenshtein.ComputeDistance(last(a), last(b)))
}

func last(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func parent(name string) string {
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		return name[:dot]
	}
	return ""
}
