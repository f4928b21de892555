package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// ownerKey labels containers and networks with the lab they belong to.
const ownerKey = "deploy-action.lab"

// engine is the container engine, through the docker command on the PATH, as the runner drives it.
type engine struct{}

// run returns what the docker command wrote to standard output, trimmed; its error carries standard
// error.
func (e engine) run(ctx context.Context, args ...string) (string, error) {
	return e.runWith(ctx, nil, args...)
}

// ownGroup keeps what a terminal sends (Ctrl-C) from the docker commands: who runs the test decides
// what it ends.
var ownGroup = &syscall.SysProcAttr{Setpgid: true}

func (engine) runWith(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	out, err := output(ctx, stdin, "docker", args...)
	if err != nil {
		return out, fmt.Errorf("docker %s: %w", args[0], err)
	}
	return out, nil
}

// output returns what a command wrote to standard output, trimmed; its error carries standard
// error.
func output(ctx context.Context, stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = stdin
	cmd.SysProcAttr = ownGroup
	out, err := cmd.Output()
	text := strings.TrimSpace(string(out))
	if err == nil {
		return text, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return text, fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return text, err
}

// sweep removes the containers, saved hosts and networks of the labs whose owner is matched.
func (l *Lab) sweep(ctx context.Context, match func(owner string) bool) error {
	containers, err := l.owned(ctx, match, "ps", "--all")
	if err != nil {
		return err
	}
	if len(containers) > 0 {
		fmt.Fprintf(l.out, "lab: removing %d container(s)\n", len(containers))
		if _, err := l.engine.run(ctx, append([]string{"rm", "--force", "--volumes"}, containers...)...); err != nil {
			return err
		}
	}
	saved, err := l.ownedImages(ctx, match)
	if err != nil {
		return err
	}
	if len(saved) > 0 {
		if _, err := l.engine.run(ctx, append([]string{"image", "rm", "--force"}, saved...)...); err != nil {
			return err
		}
	}
	networks, err := l.owned(ctx, match, "network", "ls")
	if err != nil || len(networks) == 0 {
		return err
	}
	_, err = l.engine.run(ctx, append([]string{"network", "rm"}, networks...)...)
	return err
}

// owned lists the ids of what carries the lab's label with a matching owner.
func (l *Lab) owned(ctx context.Context, match func(owner string) bool, list ...string) ([]string, error) {
	format := `{{.ID}} {{.Label "` + ownerKey + `"}}`
	out, err := l.engine.run(ctx, append(list, "--filter", "label="+ownerKey, "--format", format)...)
	if err != nil {
		return nil, err
	}
	return matching(out, match), nil
}

// matching are the ids of lines of an id and an owner whose owner matches.
func matching(lines string, match func(owner string) bool) []string {
	var ids []string
	for line := range strings.Lines(lines) {
		if id, owner, ok := strings.Cut(strings.TrimSpace(line), " "); ok && match(owner) {
			ids = append(ids, id)
		}
	}
	return ids
}

// ownedImages lists the images of hosts that were saved, which have the labels of their containers.
func (l *Lab) ownedImages(ctx context.Context, match func(owner string) bool) ([]string, error) {
	out, err := l.engine.run(ctx, "image", "ls", "--quiet", "--filter", "label="+ownerKey)
	if err != nil || out == "" {
		return nil, err
	}
	out, err = l.engine.run(ctx, append([]string{
		"image", "inspect", "--format", `{{.Id}} {{index .Config.Labels "` + ownerKey + `"}}`,
	}, strings.Fields(out)...)...)
	if err != nil {
		return nil, err
	}
	return matching(out, match), nil
}

// ownerLabel is a process's id with its start time, which together no other process ever has on
// this machine.
func ownerLabel(pid int) string { return strconv.Itoa(pid) + "-" + startTime(pid) }

// ownerIsDead tells whether the process in a label is gone.
func ownerIsDead(label string) bool {
	number, rest, _ := strings.Cut(label, "-")
	started, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(number)
	return err != nil || startTime(pid) != started
}

// startTime is a process's start in clock ticks since boot (proc(5), field 22 of stat), or empty
// when there is none.
func startTime(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The command's name, in parentheses, may hold anything, so fields are counted from its end.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const fieldsBefore, starttime = 2, 22
	if len(fields) <= starttime-fieldsBefore-1 {
		return ""
	}
	return fields[starttime-fieldsBefore-1]
}
