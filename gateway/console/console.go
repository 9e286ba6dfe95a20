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
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
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
	files, err := load()
	if err != nil {
		panic(err) // an embedded file cannot be read
	}
	return files
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

type file struct {
	name        string
	contentType string
	etag        string
	body        string
}

// site maps the paths of URLs to files. It is immutable.
type site map[string]file

func load() (site, error) {
	files := site{}
	err := fs.WalkDir(embedded, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		files[servedAt(name)] = file{
			name:        path.Base(name),
			contentType: contentTypes[path.Ext(name)],
			etag:        `"` + hex.EncodeToString(sum[:8]) + `"`,
			body:        string(body),
		}
		return nil
	})
	return files, err
}

// servedAt returns the URL path of a file: its name without the folder, or / for index.html.
func servedAt(name string) string {
	return "/" + strings.TrimSuffix(path.Base(name), "index.html")
}

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, found := s[r.URL.Path]
	if !found {
		http.NotFound(w, r)
		return
	}
	transport.Only(f, http.MethodGet, http.MethodHead).ServeHTTP(w, r)
}

func (f file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	if strings.HasPrefix(f.name, "tidegate") { // applications of other origins import it
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	http.ServeContent(w, r, f.name, time.Time{}, strings.NewReader(f.body))
}
