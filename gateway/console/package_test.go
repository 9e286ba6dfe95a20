package console_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
)

// The test uses the npm package as its users do: it packs it, installs the tarball in a
// separate project, and uses it there against a gateway.
func TestPackage_IsInstalledFromItsTarballAndWorks(t *testing.T) {
	nodes := newCluster(t)
	nodes.start()
	p := newProject(t, "testdata/package", nodes.url())
	p.write("package.json", `{"type":"module","private":true}`)
	p.npm("install", "--offline", "--no-audit", "--no-fund", "./react", p.tarball)

	files, err := filepath.Glob(filepath.Join(p.folder, "node_modules/tidegate/*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	want := []string{"README.md", "package.json", "tidegate-http.js", "tidegate-link.js", "tidegate-react.js", "tidegate-session.js", "tidegate-shared-worker.js", "tidegate-shared.js", "tidegate.js", "types"}
	if !slices.Equal(files, want) {
		t.Errorf("the package has %q, want %q", files, want)
	}
	p.node("package.test.mjs")
}

// project is the folder of a project that uses the package.
type project struct {
	t        *testing.T
	folder   string
	tarball  string
	programs map[string]string
	env      []string
}

// newProject packs the package into a new folder and copies a project there.
func newProject(t *testing.T, from, gateway string) *project {
	t.Helper()
	home := t.TempDir()
	p := &project{
		t:        t,
		folder:   filepath.Join(home, "project"),
		programs: map[string]string{"npm": brokertest.FindProgram(t, "npm"), "node": brokertest.FindProgram(t, "node", "nodejs")},
		env:      append(os.Environ(), "GATEWAY="+gateway, "npm_config_cache="+filepath.Join(home, "cache"), "npm_config_update_notifier=false"),
	}
	packed := strings.TrimSpace(p.run("tidegate", "npm", "pack", "--ignore-scripts", "--pack-destination", home))
	p.tarball = filepath.Join(home, packed)
	if err := os.CopyFS(p.folder, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *project) npm(args ...string) { p.t.Helper(); p.run(p.folder, "npm", args...) }

func (p *project) node(test string) {
	p.t.Helper()
	p.run(p.folder, "node", "--test", "--test-timeout=120000", test)
}

func (p *project) write(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.folder, name), []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// run runs a program, which must succeed, and returns its output.
func (p *project) run(folder, program string, args ...string) string {
	p.t.Helper()
	command := exec.CommandContext(p.t.Context(), p.programs[program], args...)
	command.Dir, command.Env = folder, p.env
	var said strings.Builder
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s\n%s", program, strings.Join(args, " "), err, out, said.String())
	}
	return string(out)
}
