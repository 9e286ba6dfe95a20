package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// SignatureHeader is the header by which a backend verifies who sent a request, and when:
//
//	Tidegate-Signature: t=1700000000,v1=<64 hexadecimal digits>
//
//	t    Unix seconds at which this attempt was sent
//	v1   HMAC-SHA256, keyed with the secret, of t, a dot, and the bytes of the body
const SignatureHeader = "Tidegate-Signature"

// Sign returns the value of SignatureHeader for a body sent at the given time.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
