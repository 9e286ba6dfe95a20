// Package console contains the gateway's web console, a page that shows channels at work,
// and the browser client, tidegate.js, that applications import.
//
//	web        the page
//	tidegate   the client, which is also an npm package
//
// Both are served from the same directory. The page uses only relative URLs, so it works
// under any path.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"tidegate/gateway/transport"
)

//go:embed web tidegate/*.js
var embedded embed.FS

// Handler returns a handler that serves the page at /, the client at /tidegate.js, and their
// files. Everything else is 404. Browsers must revalidate cached files, so that the page
// always matches the gateway that serves it.
func Handler() http.Handler {
	files := map[string]http.Handler{}
	for _, folder := range []string{"web", "tidegate"} {
		entries, _ := embedded.ReadDir(folder) // cannot fail, as the files are embedded
		for _, entry := range entries {
			body, _ := embedded.ReadFile(folder + "/" + entry.Name())
			files["/"+strings.TrimSuffix(entry.Name(), "index.html")] = transport.Only(fileOf(entry.Name(), body), http.MethodGet, http.MethodHead)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if file, found := files[r.URL.Path]; found {
			file.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
}

// policy lets the page load only its own files. It may connect anywhere, because the user
// may enter the URL of another gateway.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self' ws: wss: http: https:; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'"

// contentTypes lists the content types explicitly, because the system's table may differ.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

func fileOf(name string, body []byte) http.HandlerFunc {
	etag := fmt.Sprintf(`"%.8x"`, sha256.Sum256(body))
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", contentTypes[path.Ext(name)])
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", etag)
		if strings.HasPrefix(name, "tidegate") { // applications of other origins import it
			h.Set("Access-Control-Allow-Origin", "*")
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
	}
}
