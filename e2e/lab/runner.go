package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// runnerUser is who owns the runner's files on GitHub's machines; an action that is not root can't
// write them.
const runnerUser = 1001

// fileCommands are the files that an action writes to, by the variable that names each.
var fileCommands = map[string]string{
	"GITHUB_ENV": "set_env", "GITHUB_OUTPUT": "set_output", "GITHUB_PATH": "add_path", "GITHUB_STATE": "save_state",
	"GITHUB_STEP_SUMMARY": "step_summary",
}

// Runner starts an action's image exactly as GitHub's runner does (actions/runner:
// DockerCommandManager.cs, ContainerActionHandler.cs). It is one job on one machine: home,
// workspace and temporary folder live on from run to run. It differs in two ways: the container has
// one more label, and by default shares the place that the lab's jobs have on its network.
type Runner struct {
	lab    *Lab
	image  string
	action *action
	temp   string
	// Workspace is the job's checkout on this machine; the container sees it as /github/workspace.
	Workspace string
}

// Runner prepares a runner for an image whose inputs the lab's action.yml declares.
func (l *Lab) Runner(image string) (*Runner, error) {
	a, err := readAction(l.actionFile)
	if err != nil {
		return nil, err
	}
	root := filepath.Join(l.dir, "runner-"+randomHex(3))
	r := &Runner{
		lab: l, image: image, action: a, temp: filepath.Join(root, "_temp"),
		Workspace: filepath.Join(root, "repo", "repo"),
	}
	for _, dir := range []string{
		r.temp, r.Workspace, r.inTemp("_github_home"), r.inTemp("_github_workflow"),
		r.inTemp("_runner_file_commands"),
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("prepare runner: %w", err)
		}
	}
	return r, r.own(r.temp, r.Workspace, r.inTemp("_github_home"), r.inTemp("_runner_file_commands"))
}

// Run starts a step and waits for its end. A step that fails is a Result like any other; an error
// says that none ran.
func (r *Runner) Run(ctx context.Context, job Job) (*Result, error) {
	running, err := r.Start(ctx, job)
	if err != nil {
		return nil, err
	}
	return running.Wait()
}

// Start starts a step. When ctx ends, its container is killed.
func (r *Runner) Start(ctx context.Context, job Job) (*Running, error) {
	files, err := r.newFileCommands()
	if err != nil {
		return nil, fmt.Errorf("start action: %w", err)
	}
	if err := r.write(filepath.Join(r.inTemp("_github_workflow"), "event.json"),
		job.GitHub.withDefaults().Event+"\n"); err != nil {
		return nil, fmt.Errorf("start action: %w", err)
	}
	env, unexpected, err := r.environment(job, files)
	if err != nil {
		return nil, fmt.Errorf("start action: %w", err)
	}
	name := containerName(r.image)
	if job.Network == "" {
		if job.Network, err = r.lab.jobNetwork(ctx); err != nil {
			return nil, fmt.Errorf("start action: %w", err)
		}
	}
	// nolint:noctx // the end of ctx kills the container, not the command that shows its log
	cmd := exec.Command("docker", r.arguments(name, job, slices.Sorted(maps.Keys(env)))...)
	cmd.SysProcAttr = ownGroup
	cmd.Env = os.Environ()
	for key, value := range env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	running := &Running{
		Container: name, lab: r.lab, cmd: cmd, onLine: job.OnLine, done: make(chan struct{}),
		files: files, changed: make(chan struct{}), unexpected: unexpected,
		sigint: sigintGrace, sigterm: sigtermGrace,
	}
	if err := running.start(ctx); err != nil {
		return nil, fmt.Errorf("start action: %w", err)
	}
	return running, nil
}

// arguments are those of `docker run`, in the runner's order. Values never stand in them, only the
// names of variables.
func (r *Runner) arguments(name string, job Job, variables []string) []string {
	args := []string{
		"run", "--name", name, "--label", "a1b2c3", "--label", ownerKey + "=" + r.lab.label(),
		"--workdir", "/github/workspace", "--rm",
	}
	for _, variable := range variables {
		args = append(args, "-e", variable)
	}
	args = append(args, "-e", "GITHUB_ACTIONS=true")
	if !slices.Contains(variables, "CI") {
		args = append(args, "-e", "CI=true")
	}
	entrypoint := job.Entrypoint
	if entrypoint == "" {
		entrypoint = r.action.Runs.Entrypoint
		if job.Stage == StagePost {
			entrypoint = r.action.Runs.PostEntrypoint
		}
	}
	if entrypoint != "" {
		args = append(args, "--entrypoint", entrypoint)
	}
	args = append(args, "--network", job.Network, "-v", "/var/run/docker.sock:/var/run/docker.sock")
	for _, mount := range r.mounts() {
		args = append(args, "-v", mount.outside+":"+mount.inside)
	}
	return append(append(args, r.image), r.action.Runs.Args...)
}

// environment is the container's, later parts overriding earlier ones as in
// ContainerActionHandler.cs.
func (r *Runner) environment(job Job, files map[string]string) (env map[string]string, unexpected []string, err error) {
	github := job.GitHub.withDefaults()
	inputs, unexpected, err := r.action.inputEnv(job.With, github.context())
	if err != nil {
		return nil, nil, err
	}
	env = make(map[string]string)
	maps.Copy(env, job.Env)
	for key, value := range job.State {
		env["STATE_"+key] = value
	}
	maps.Copy(env, inputs)
	for key, value := range r.action.Runs.Env {
		if _, ok := env[key]; !ok {
			env[key] = value
		}
	}
	env["HOME"] = "/github/home"
	maps.Copy(env, github.env())
	env["GITHUB_EVENT_PATH"] = "/github/workflow/event.json"
	env["GITHUB_WORKSPACE"] = "/github/workspace"
	env["RUNNER_ARCH"] = map[string]string{"amd64": "X64", "arm64": "ARM64"}[runtime.GOARCH]
	env["RUNNER_TEMP"] = "/github/runner_temp"
	env["RUNNER_WORKSPACE"] = filepath.Dir(r.Workspace)
	for variable, file := range files {
		env[variable] = "/github/file_commands/" + filepath.Base(file)
	}
	if job.Debug {
		env["RUNNER_DEBUG"] = "1"
	}
	for key, value := range env {
		env[key] = r.translate(key, value)
	}
	return env, unexpected, nil
}

// translate rewrites a value that begins with a path the container knows under another name.
func (r *Runner) translate(key, value string) string {
	if key == "RUNNER_WORKSPACE" || key == "RUNNER_TOOL_CACHE" {
		return value
	}
	for _, mount := range r.mounts() {
		if rest, ok := strings.CutPrefix(value, mount.outside); ok && (rest == "" || rest[0] == '/') {
			return mount.inside + rest
		}
	}
	return value
}

type mount struct{ outside, inside string }

// mounts are the runner's folders; the narrower come first, so that translate finds the right one.
func (r *Runner) mounts() []mount {
	return []mount{
		{r.inTemp("_github_home"), "/github/home"},
		{r.inTemp("_github_workflow"), "/github/workflow"},
		{r.inTemp("_runner_file_commands"), "/github/file_commands"},
		{r.temp, "/github/runner_temp"},
		{r.Workspace, "/github/workspace"},
	}
}

func (r *Runner) inTemp(name string) string { return filepath.Join(r.temp, name) }

// newFileCommands makes the empty files of one step.
func (r *Runner) newFileCommands() (map[string]string, error) {
	files, id := make(map[string]string), strings.ToLower(rand.Text())
	for variable, prefix := range fileCommands {
		file := filepath.Join(r.inTemp("_runner_file_commands"), prefix+"_"+id)
		if err := errors.Join(r.write(file, ""), r.own(file)); err != nil {
			return nil, err
		}
		files[variable] = file
	}
	return files, nil
}

func (r *Runner) write(file, text string) error { return os.WriteFile(file, []byte(text), 0o644) }

// own gives files to the runner's user, if this process may.
func (r *Runner) own(files ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, file := range files {
		if err := os.Chown(file, runnerUser, runnerUser); err != nil {
			return fmt.Errorf("prepare runner: %w", err)
		}
	}
	return nil
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9_]`)

func containerName(image string) string {
	return notInName.ReplaceAllString(image, "") + "_" + randomHex(3)
}
