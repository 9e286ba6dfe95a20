package jsontext

// MostNested is how many levels of arrays and objects a field may have.
const MostNested = 100

// Fields reads data, which must be exactly one JSON object with at most MostNested levels
// inside each field. It calls put for each field, with the name, unquoted, and the value as it
// stands there; both may share the memory of data. If data is something else, Fields returns
// false, after put has been called for the fields before the error.
func Fields(data []byte, put func(name, value []byte)) bool {
	i := skipSpace(data, 0)
	if at(data, i) != '{' {
		return false
	}
	end := skipObject(data, i, 1, put)
	return end != invalid && skipSpace(data, end) == len(data)
}

// The functions that follow check data against the grammar of RFC 8259, starting at an index.
// Each returns the index after the element in its name, or invalid.

const (
	invalid  = -1
	maxDepth = 1 + MostNested // of nested arrays and objects: the object itself, and the levels inside a field
)

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// skipValue skips any JSON value, which is inside depth arrays and objects.
func skipValue(data []byte, i, depth int) int {
	switch c := at(data, i); {
	case c == '"':
		return skipString(data, i)
	case c == '{':
		return skipObject(data, i, depth+1, nil)
	case c == '[':
		return skipArray(data, i, depth+1)
	case c == '-' || isDigit(c):
		return skipNumber(data, i)
	case c == 't':
		return skipLiteral(data, i, "true")
	case c == 'f':
		return skipLiteral(data, i, "false")
	case c == 'n':
		return skipLiteral(data, i, "null")
	}
	return invalid
}

// skipObject skips an object. It calls put for each of its fields, unless put is nil.
func skipObject(data []byte, i, depth int, put func(name, value []byte)) int {
	if depth > maxDepth {
		return invalid
	}
	i = skipSpace(data, i+1)
	if at(data, i) == '}' {
		return i + 1
	}
	for {
		if at(data, i) != '"' {
			return invalid
		}
		nameEnd := skipString(data, i)
		if nameEnd == invalid {
			return invalid
		}
		value := skipSpace(data, nameEnd)
		if at(data, value) != ':' {
			return invalid
		}
		value = skipSpace(data, value+1)
		end := skipValue(data, value, depth)
		if end == invalid {
			return invalid
		}
		if put != nil {
			put(Unquoted(data[i:nameEnd]), data[value:end])
		}
		i = skipSpace(data, end)
		switch at(data, i) {
		case '}':
			return i + 1
		case ',':
			i = skipSpace(data, i+1)
		default:
			return invalid
		}
	}
}

func skipArray(data []byte, i, depth int) int {
	if depth > maxDepth {
		return invalid
	}
	i = skipSpace(data, i+1)
	if at(data, i) == ']' {
		return i + 1
	}
	for {
		if i = skipValue(data, i, depth); i == invalid {
			return invalid
		}
		i = skipSpace(data, i)
		switch at(data, i) {
		case ']':
			return i + 1
		case ',':
			i = skipSpace(data, i+1)
		default:
			return invalid
		}
	}
}

// skipString skips a string. data[i] must be its opening quote.
func skipString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch c := data[i]; {
		case c > '\\': // most are
		case c == '"':
			return i + 1
		case c < ' ':
			return invalid
		case c == '\\':
			if i = skipEscape(data, i); i == invalid {
				return invalid
			}
		}
	}
	return invalid
}

// skipEscape returns the index of the last byte of an escape. data[i] must be its backslash.
func skipEscape(data []byte, i int) int {
	switch at(data, i+1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for k := i + 2; k < i+6; k++ {
			if !isHex(at(data, k)) {
				return invalid
			}
		}
		return i + 5
	}
	return invalid
}

func skipNumber(data []byte, i int) int {
	if data[i] == '-' {
		i++
	}
	switch c := at(data, i); {
	case c == '0':
		i++
	case isDigit(c):
		i = skipDigits(data, i)
	default:
		return invalid
	}
	if at(data, i) == '.' {
		if i = skipDigits(data, i+1); i == invalid {
			return invalid
		}
	}
	if c := at(data, i); c == 'e' || c == 'E' {
		i++
		if sign := at(data, i); sign == '+' || sign == '-' {
			i++
		}
		return skipDigits(data, i)
	}
	return i
}

// skipDigits skips one or more digits.
func skipDigits(data []byte, i int) int {
	if !isDigit(at(data, i)) {
		return invalid
	}
	for isDigit(at(data, i)) {
		i++
	}
	return i
}

func skipLiteral(data []byte, i int, literal string) int {
	if len(data)-i < len(literal) || string(data[i:i+len(literal)]) != literal {
		return invalid
	}
	return i + len(literal)
}

// at returns data[i], or 0 at the end of data. No grammar rule accepts 0.
func at(data []byte, i int) byte {
	if i < len(data) {
		return data[i]
	}
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
