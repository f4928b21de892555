package e2e

import (
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// engineReady lets the host's engine make control groups, which a container may not by itself, and
// gives it an image that has nothing but folders: containers get the host's programs into them.
const engineReady = `for at in /sys/fs/cgroup/*/; do mount -o remount,rw,bind "$at" 2>/dev/null || true; done
mkdir -p /tmp/empty/{usr,tmp,etc,home,proc,sys,dev} && ln -s usr/bin usr/lib usr/lib64 usr/sbin /tmp/empty/
usermod -aG docker ubuntu && systemctl start docker
timeout 60 bash -c 'until docker version; do sleep 0.2; done'
tar -C /tmp/empty -c . | docker import - empty`

// contained is a start command of which the engine's client is what systemd runs. Each container
// has a network of its own but where more says otherwise.
func contained(more, command string) string {
	return "exec docker run --rm --user $(id -u) --workdir $PWD -e RELEASE -v /usr:/usr:ro -v " +
		"/etc:/etc:ro -v /home/ubuntu:/home/ubuntu " + more + " empty " + command
}

const (
	labelled  = "--label deploy-action=shop@$PORT "
	published = "-p 127.0.0.1:$PORT:8000 "
	server    = "$PWD/.venv/bin/uvicorn controller.main:app --host 0.0.0.0 --port 8000"
)

// A container of the start command's is the release, under load: deployed, restarted, rolled back,
// taken back when it is bad, and ended when its client was killed.
func TestAReleaseInAContainer(t *testing.T) {
	w := world.New(t, lab.HostOptions{With: "docker", Engine: true})
	w.Exec(engineReady)
	with := map[string]string{"start": contained(labelled+published, server)}
	w.Deploy(w.Commit(nil), with)
	w.UnderLoad()
	second := w.Deploy(w.Commit(nil), with)
	w.Serves(second.Outputs["release"])
	one := func() {
		t.Helper()
		active := w.Exec("ls /var/lib/deploy-action/shop/active")
		if out := w.Exec(`docker ps --format '{{.Label "deploy-action"}}'`); out != "shop@"+active {
			t.Errorf("containers: %q, and port %s is active", out, active)
		}
	}
	one()

	bad := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "health-500"}),
		merged(with, map[string]string{"health-timeout": "30s"})))
	world.Failed(t, bad, "failed", "answered 500", "site: unchanged")
	one()
	theirs := w.Run(w.Job(w.Commit(nil), merged(with, map[string]string{"start": contained(published, server)})))
	world.Failed(t, theirs, "failed", "is held by a process that does not belong to this release",
		"--label deploy-action=shop@$PORT", "site: unchanged")
	// A client that is told to end before it has attached itself leaves its container, and whose
	// that is nobody can prove.
	port := second.Outputs["previous-port"]
	w.Exec("docker ps --all --quiet --filter publish=" + port + " | xargs -r docker rm --force; " +
		"timeout 60 bash -c 'while [[ -n $(ss -Hltn \"sport = :" + port + "\") ]]; do sleep 0.1; done'")

	// The client of the old version is gone, as after a crash, and its container serves on.
	w.Exec(`pid=$(systemctl show -p MainPID --value shop@` + second.Outputs["active-port"] + `); kill -KILL "$pid"`)
	third := w.Deploy(w.Commit(nil), merged(with, map[string]string{
		"start": contained(labelled+"--network host ", "$PWD/.venv/bin/uvicorn controller.main:app --port $PORT"),
	}))
	w.Serves(third.Outputs["release"])
	one()
	back := w.Run(w.Job("", merged(with, map[string]string{"operation": "rollback"})))
	if back.ExitCode != 0 || back.Outputs["release"] != second.Outputs["release"] {
		t.Errorf("rolled back to %q\n%s", back.Outputs["release"], back.Log())
	}
	again := w.Run(w.Job("", merged(with, map[string]string{"operation": "restart"})))
	if again.ExitCode != 0 {
		t.Errorf("restart: %s", again.Log())
	}
	one()
}

// The recipe of docs/containers.md: the release is an image that its build makes.
func TestAReleaseThatIsAnImage(t *testing.T) {
	w := world.New(t, lab.HostOptions{With: "docker", Engine: true})
	w.Exec(engineReady)
	app := map[string]string{
		"app.py":     echoApp,
		"Dockerfile": "FROM empty\nCOPY app.py /app.py\nENV PORT=8000\nCMD [\"/usr/bin/python3\", \"/app.py\"]\n",
	}
	with := map[string]string{
		"build": "docker build --quiet --iidfile .image .",
		"start": "exec docker run --rm --label deploy-action=shop@$PORT --network host -e PORT " +
			"-v /usr:/usr:ro -v /etc:/etc:ro $(cat .image)",
		"health-path": "/", "stop-timeout": "2s",
	}
	w.Deploy(w.Commit(app), with)
	last := w.Deploy(w.Commit(app), with)
	w.OneFlag(last.Outputs["active-port"])
	if out := w.Exec("docker ps --quiet | wc -l"); out != "1" {
		t.Errorf("%s containers run", out)
	}
}
