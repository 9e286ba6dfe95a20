package pusher

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signatures are the HMAC-SHA256 of a text under the app's secret, in hexadecimal:
//
//	SOCKET:CHANNEL              a subscription to a private channel
//	SOCKET:CHANNEL:DATA         a subscription to a presence channel
//	SOCKET::user::DATA          a sign-in
//	METHOD\nPATH\nk=v&k=v       a request to the HTTP API: the query without the
//	                            signature, sorted by name
//	BODY                        a webhook, which the gateway signs
//
// The signatures of subscriptions and sign-ins are preceded by the app's key and a colon.

func sign(secret, text string) string { return hex.EncodeToString(digest(secret, text)) }

func digest(secret, text string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// isSignature reports whether signature is the signature of text. It compares in constant
// time.
func isSignature(secret, text, signature string) bool {
	given, err := hex.DecodeString(signature)
	return err == nil && hmac.Equal(given, digest(secret, text))
}

// verify reports whether auth is KEY:SIGNATURE with this app's key and its signature of
// text.
func (a *App) verify(auth, text string) bool {
	key, signature, _ := strings.Cut(auth, ":")
	return key == a.Key && isSignature(a.Secret, text, signature)
}

func subscriptionText(socket, channel, data string) string {
	text := socket + ":" + channel
	if data != "" {
		text += ":" + data
	}
	return text
}

func signInText(socket, data string) string { return socket + "::user::" + data }

const clockWindow = 600 * time.Second

// checkRequest returns what is wrong with the signature of a request, or "" if it is valid.
// It does not check the body: see checkBody.
func (a *App) checkRequest(method, path string, query url.Values, now time.Time) string {
	at, err := strconv.ParseInt(query.Get("auth_timestamp"), 10, 64)
	signature := query.Get("auth_signature")
	switch {
	case query.Get("auth_key") != a.Key:
		return "auth_key is not that of the app"
	case query.Get("auth_version") != "1.0":
		return "auth_version must be 1.0"
	case err != nil:
		return "auth_timestamp must be a time in seconds"
	case now.Sub(time.Unix(at, 0)).Abs() > clockWindow:
		return "auth_timestamp is more than 600 seconds off: the time here is " + strconv.FormatInt(now.Unix(), 10)
	case !isSignature(a.Secret, requestText(method, path, query), signature):
		return "auth_signature is wrong: sign METHOD, path and query with the app's secret"
	}
	return ""
}

func requestText(method, path string, query url.Values) string {
	pairs := make([]string, 0, len(query))
	for name, values := range query {
		if name = strings.ToLower(name); name == "auth_signature" {
			continue
		}
		for _, value := range values {
			pairs = append(pairs, name+"="+value)
		}
	}
	slices.Sort(pairs)
	return method + "\n" + path + "\n" + strings.Join(pairs, "&")
}

// checkBody returns what is wrong with the digest of a request's body, or "" if it is valid.
// If the body is empty, the digest may be missing.
func checkBody(body []byte, query url.Values) string {
	given := query.Get("body_md5")
	sum := md5.Sum(body)
	switch {
	case given == "" && len(body) == 0:
		return ""
	case given == "":
		return "body_md5 is missing, and there is a body"
	case !strings.EqualFold(given, hex.EncodeToString(sum[:])):
		return "body_md5 is not that of the body"
	}
	return ""
}
