//go:build npm

package console_test

import (
	"net/http"
	"path/filepath"
	"testing"
)

// The test uses the package with common compilers, bundlers and runtimes, and with React.
// They come from npm's registry (100 MB), so the test needs the build tag npm.
func TestPackage_WorksWithTheToolsOfItsWorld(t *testing.T) {
	nodes := newCluster(t)
	nodes.start()
	p := newProject(t, "testdata/tools", nodes.url())
	p.npm("install", "--no-audit", "--no-fund", p.tarball)
	p.node("tools.test.mjs")

	nodes.extra = http.StripPrefix("/built", http.FileServer(http.Dir(filepath.Join(p.folder, "built"))))
	browser := startBrowser(t)
	one, two := openPage(t, browser, nodes.url()+"/built/"), openPage(t, browser, nodes.url()+"/built/")
	for _, page := range []*page{one, two} {
		page.until("Vite's page is connected", `window.tide?.status.state === "connected"`)
	}
	if a, b := evaluate[string](one, "tide.status.session"), evaluate[string](two, "tide.status.session"); a != b {
		t.Errorf("Vite's pages are sessions %q and %q", a, b)
	}
	one.do(`await tide.publish("tools", "hi from Vite")`)
	two.until("each hears the other", `heard.includes("hi from Vite")`)

	t.Run("axe", func(t *testing.T) {
		axeFindsNoFault(t, browser, filepath.Join(p.folder, "node_modules/axe-core/axe.min.js"))
	})
}
