// Package console is the gateway's page: a place to see channels at work, and
// the browser client, tidegate.js, that applications import.
//
//	web        the page
//	tidegate   the client, which is a package of npm, too
//
// Both are served side by side, and the page finds all that it needs by relative
// URLs: it works below any path.
package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed web tidegate/*.js
var embedded embed.FS

// Handler serves the page at /, the client at /tidegate.js, and their files; all
// else is 404. Nothing is cached without asking again, so that the page always
// fits the gateway it comes from.
func Handler() http.Handler {
	files, err := load(embedded)
	if err != nil {
		panic(err) // the binary lacks a part of itself
	}
	return files
}

// policy lets the page run its own files only. It may connect anywhere: to try
// another gateway is what its first field is for.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self' ws: wss: http: https:; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'"

// contentTypes are stated here since the system's own table may know others.
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

// site is the files by the path they are served at. It is never changed.
type site map[string]file

func load(tree fs.FS) (site, error) {
	files := site{}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(tree, name)
		if err != nil {
			return fmt.Errorf("load %s: %w", name, err)
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

// servedAt leaves out the folder: the page and the client are side by side.
func servedAt(name string) string {
	return "/" + strings.TrimSuffix(path.Base(name), "index.html")
}

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, found := s[r.URL.Path]
	if !found {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the console is read with GET", http.StatusMethodNotAllowed)
		return
	}
	f.serve(w, r)
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
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
