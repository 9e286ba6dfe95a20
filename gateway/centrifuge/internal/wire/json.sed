# The JSON of the generated messages: bytes are JSON values as they stand, and what SDKs expect
# is there even if it is zero.
s/ \[]byte  / Raw     /
/^type ClientInfo struct/,/^}/s/"\(user\|client\),omitempty/"\1/
/^type Presence.*Result struct/,/^}/s/,omitempty"/"/
/^type HistoryResult struct/,/^}/s/"offset,omitempty/"offset/
