package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// SignatureHeader is the header of every request that tells a backend who sent
// it, and when:
//
//	Tidegate-Signature: t=1700000000,v1=<64 hexadecimal digits>
//
//	t    Unix seconds at which this request was sent; an attempt has its own
//	v1   HMAC-SHA256, keyed with the secret, of t, a dot, and the body's bytes
const SignatureHeader = "Tidegate-Signature"

// Sign returns the header's value for a body that is sent at a time.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
