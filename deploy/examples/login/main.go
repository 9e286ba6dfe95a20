// Command login is a backend that tells Tidegate who its users are, in two ways: GET /token
// signs a token for a user, and POST /tidegate answers when Tidegate asks whose a cookie is.
//
//	PORT=3000 JWT_SECRET=… WEBHOOK_SECRET=… go run ./deploy/examples/login
package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	jwtSecret     = os.Getenv("JWT_SECRET")
	webhookSecret = os.Getenv("WEBHOOK_SECRET")
	sessions      sync.Map // replace with your session store: cookie to user
)

func main() {
	http.HandleFunc("POST /login", login)
	http.HandleFunc("GET /token", token)
	http.HandleFunc("POST /tidegate", tidegate)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "3000"), nil))
}

// login accepts anybody: check a password here.
func login(w http.ResponseWriter, r *http.Request) {
	id := rand.Text()
	sessions.Store(id, r.FormValue("user"))
	http.SetCookie(w, &http.Cookie{Name: "session", Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	w.WriteHeader(http.StatusNoContent)
}

func token(w http.ResponseWriter, r *http.Request) {
	user, found := userOf(r)
	if !found {
		http.Error(w, "log in first", http.StatusUnauthorized)
		return
	}
	io.WriteString(w, sign(map[string]any{"sub": user, "exp": time.Now().Add(10 * time.Minute).Unix()}))
}

func tidegate(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil || !isGenuine(r.Header.Get("Tidegate-Signature"), body) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	var question struct {
		Event, User string
		Headers     http.Header
	}
	if err := json.Unmarshal(body, &question); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if question.Event != "connect" || question.User != "" { // a token has already identified the user
		w.WriteHeader(http.StatusNoContent)
		return
	}
	verdict := map[string]any{"allow": false, "code": "unauthenticated", "message": "log in first"}
	if user, found := userOf(&http.Request{Header: question.Headers}); found {
		verdict = map[string]any{"allow": true, "user": user}
	}
	json.NewEncoder(w).Encode(verdict)
}

func userOf(r *http.Request) (user any, found bool) {
	cookie, err := r.Cookie("session")
	if err != nil {
		return nil, false
	}
	return sessions.Load(cookie.Value)
}

func sign(claims map[string]any) string {
	encoding := base64.RawURLEncoding
	payload, _ := json.Marshal(claims) // strings and numbers always encode
	text := encoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encoding.EncodeToString(payload)
	return text + "." + encoding.EncodeToString(digest(jwtSecret, text))
}

// isGenuine checks Tidegate-Signature: t=1700000000,v1=5257a8…
func isGenuine(header string, body []byte) bool {
	at, signature, _ := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	seconds, err := strconv.ParseInt(at, 10, 64)
	given, _ := hex.DecodeString(signature)
	return err == nil && hmac.Equal(digest(webhookSecret, at+"."+string(body)), given) &&
		time.Since(time.Unix(seconds, 0)).Abs() < 5*time.Minute
}

func digest(secret, text string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
