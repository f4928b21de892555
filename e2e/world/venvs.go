package world

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// venvs are what deployments of the example have made on a kind of host: archives of the deploy
// root's folder, by kind.
var venvs = struct {
	sync.Mutex
	of map[string]string
}{of: map[string]string{}}

// kind is what a venv depends on: the distribution's Python, and what else the host has.
func kind(options lab.HostOptions) string { return options.Release + "+" + options.With }

// The deploy root of most scenarios, and who has it.
const venvsRoot = "/home/ubuntu/shop"

// bringVenvs puts what the same requirements came to on a host of this kind into the deploy root of
// one that has none yet: a venv costs more processor time than three deployments. A scenario that
// is about first deployments is Cold.
func (w *World) bringVenvs(with map[string]string) {
	w.T.Helper()
	if w.Cold || w.deployed || with["path"]+with["app"]+with["username"]+with["build"] != "" {
		return
	}
	if w.Exec("[ -e "+venvsRoot+" ] || echo new") == "new" {
		w.unpackVenvs(venvsRoot)
	}
}

// Warm is for a scenario whose first deployment is part of a run of its own: what bringVenvs brings
// for Deploy is there from now on.
func (w *World) Warm() { w.T.Helper(); w.bringVenvs(nil) }

// VenvByHand makes, as ubuntu, a virtual environment with the example's requirements in a folder,
// out of one that is known or else as people do.
func (w *World) VenvByHand(folder string) {
	w.T.Helper()
	const moved = "/home/ubuntu/venvs"
	if !w.unpackVenvs(moved) {
		w.Exec(fmt.Sprintf("cd %[1]s && runuser -u ubuntu -- sh -c 'python3 -m venv venv && venv/bin/pip -q install "+
			"-r requirements.txt'", folder))
		return
	}
	w.Exec(fmt.Sprintf(`cd %s && mv %s/venvs/* venv && rm -r %[2]s && rm venv/.complete
grep -rlIF %s/venvs/ venv/bin venv/pyvenv.cfg | xargs sed -i "s|%[3]s/venvs/[0-9a-f]*|$PWD/venv|"`,
		folder, moved, venvsRoot))
}

// unpackVenvs unpacks those of the host's kind into a folder, and reports whether there are any.
func (w *World) unpackVenvs(folder string) bool {
	w.T.Helper()
	venvs.Lock()
	archive := venvs.of[w.kind]
	venvs.Unlock()
	if archive == "" {
		return false
	}
	const file = "/var/tmp/venvs.tar"
	if err := w.Host.WriteFile(w.Ctx, file, 0o600, "root", archive); err != nil {
		w.T.Fatal(err)
	}
	w.Exec("install -d -m 0700 -o ubuntu -g ubuntu " + folder + " && tar -C " + folder + " -xpf " + file +
		" && rm " + file)
	return true
}

// keepVenvs keeps those of the first such deployment.
func (w *World) keepVenvs(with map[string]string) {
	first := !w.deployed
	w.deployed = true
	venvs.Lock()
	defer venvs.Unlock()
	if !first || w.Cold || venvs.of[w.kind] != "" || with["path"]+with["app"]+with["username"]+with["build"] != "" {
		return
	}
	out, err := w.Host.Exec(context.WithoutCancel(w.Ctx),
		"cd "+venvsRoot+" && [ -e venvs/*/.complete ] && tar -c venvs")
	if err == nil && strings.HasPrefix(out, "venvs/") {
		venvs.of[w.kind] = out
	}
}
