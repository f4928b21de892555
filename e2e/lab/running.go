package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How long the runner waits after a cancellation, between SIGINT and SIGTERM, and between that and
// SIGKILL (actions/runner, ProcessInvoker.cs).
const (
	sigintGrace  = 7500 * time.Millisecond
	sigtermGrace = 2500 * time.Millisecond
)

// Running is a step under way.
type Running struct {
	Container string // its name; after Cancel it may outlive the step

	lab        *Lab
	cmd        *exec.Cmd
	onLine     func(Line)
	files      map[string]string
	unexpected []string
	began      time.Time
	done       chan struct{} // closed once result and err are set

	sigint, sigterm time.Duration // sigintGrace and sigtermGrace, except in tests

	mu      sync.Mutex
	parser  commandParser
	lines   []Line
	changed chan struct{} // closed and replaced at every line
	result  *Result
	err     error
}

// Process is the number of the step's process, on a machine whose engine runs containers in its own
// process space.
func (r *Running) Process(ctx context.Context) (int, error) {
	out, err := r.lab.engine.run(ctx, "inspect", "--format", "{{.State.Pid}}", r.Container)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

// Line is one line of the log, as the runner cuts them: at \n, \r\n and \r.
type Line struct {
	Time    time.Time
	Stderr  bool
	Text    string
	Command *Command // what the runner obeys, nil for text
}

func (r *Running) start(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	started, err := r.lab.starting()
	if err != nil {
		return err
	}
	defer started()
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		return err
	}
	r.began = time.Now()
	if err := r.cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { r.killUntilDone(context.WithoutCancel(ctx)) })
	r.lab.runs(r, true)
	go func() {
		defer close(r.done)
		defer r.lab.runs(r, false)
		defer stop()
		var streams sync.WaitGroup
		streams.Go(func() { r.read(stdout, false) })
		streams.Go(func() { r.read(stderr, true) })
		streams.Wait()
		r.finish(r.cmd.Wait())
	}()
	return nil
}

// runs keeps r among those under way, or takes it out.
func (l *Lab) runs(r *Running, running bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == nil {
		l.running = map[*Running]bool{}
	}
	if delete(l.running, r); running {
		l.running[r] = true
	}
}

// read cuts a stream into lines as .NET's StreamReader.ReadLine does.
func (r *Running) read(stream io.Reader, stderr bool) {
	in := bufio.NewReader(stream)
	var line strings.Builder
	pending, afterCR := false, false
	for {
		b, err := in.ReadByte()
		switch {
		case err != nil:
			if pending {
				r.add(line.String(), stderr)
			}
			return
		case b == '\n' && afterCR:
		case b == '\n' || b == '\r':
			r.add(line.String(), stderr)
			line.Reset()
			pending = false
		default:
			line.WriteByte(b)
			pending = true
		}
		afterCR = b == '\r'
	}
}

func (r *Running) add(text string, stderr bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := Line{Time: time.Now(), Stderr: stderr, Text: text, Command: r.parser.parse(text)}
	r.lines = append(r.lines, line)
	close(r.changed)
	r.changed = make(chan struct{})
	if r.onLine != nil {
		r.onLine(line)
	}
}

// finish reads the files that the step wrote, which counts even when it failed.
func (r *Running) finish(err error) {
	result := &Result{Start: r.began, End: time.Now(), Unexpected: r.unexpected}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		result.ExitCode = exit.ExitCode()
	default:
		r.err = fmt.Errorf("run action: %w", err)
	}
	texts := make(map[string]string, len(r.files))
	for variable, file := range r.files {
		text, err := os.ReadFile(file)
		if err != nil {
			result.FileErrors = append(result.FileErrors, err)
		}
		texts[variable] = string(text)
	}
	parse := func(variable string) map[string]string {
		values, err := parseFileCommands(texts[variable])
		if err != nil {
			result.FileErrors = append(result.FileErrors, fmt.Errorf("%s: %w", variable, err))
		}
		return values
	}
	result.Outputs, result.State, result.Env = parse("GITHUB_OUTPUT"), parse("GITHUB_STATE"), parse("GITHUB_ENV")
	result.Summary = texts["GITHUB_STEP_SUMMARY"]

	r.mu.Lock()
	defer r.mu.Unlock()
	result.Lines = r.lines
	r.result = result
}

// Wait returns the step's result once it has ended.
func (r *Running) Wait() (*Result, error) {
	<-r.done
	return r.result, r.err
}

// Done is closed at the step's end.
func (r *Running) Done() <-chan struct{} { return r.done }

// Log is what the step has printed so far.
func (r *Running) Log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return joinLines(r.lines)
}

// WaitLog returns when a line of the log contains text; an error when the step ends, or ctx, and
// none did.
func (r *Running) WaitLog(ctx context.Context, text string) error {
	for from := 0; ; {
		r.mu.Lock()
		lines, changed, ended := r.lines[from:], r.changed, r.result != nil
		r.mu.Unlock()
		for _, line := range lines {
			if strings.Contains(line.Text, text) {
				return nil
			}
		}
		from += len(lines)
		if ended {
			return fmt.Errorf("wait for %q in the log: the step ended without it:\n%s", text, r.Log())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %q in the log: %w", text, context.Cause(ctx))
		case <-changed:
		case <-r.done:
		}
	}
}

// Signal sends a signal as the runner does: to the docker command, which passes it on to the
// action.
func (r *Running) Signal(signal os.Signal) error { return r.cmd.Process.Signal(signal) }

// Cancel does what the runner does when a user cancels or a time-out passes, and returns at the
// step's end. The runner never stops the container: one that ignores the signals lives on.
func (r *Running) Cancel() error {
	if err := r.Ask(); err != nil {
		return err
	}
	err := ignoreFinished(r.Signal(syscall.SIGKILL))
	<-r.done
	return err
}

// Ask sends the first two signals of Cancel's, and returns at the step's end, or when the time after
// the second is over.
func (r *Running) Ask() error {
	for _, send := range []struct {
		signal os.Signal
		grace  time.Duration
	}{{syscall.SIGINT, r.sigint}, {syscall.SIGTERM, r.sigterm}} {
		if err := r.Signal(send.signal); err != nil {
			return ignoreFinished(err)
		}
		select {
		case <-r.done:
			return nil
		case <-time.After(send.grace):
		}
	}
	return nil
}

// Kill ends the action at once, as a machine that vanishes does.
func (r *Running) Kill(ctx context.Context) error {
	_, err := r.lab.engine.run(ctx, "kill", r.Container)
	return err
}

// killUntilDone repeats, since the engine may be about to create the container.
func (r *Running) killUntilDone(ctx context.Context) {
	for r.Kill(ctx) != nil {
		select {
		case <-r.done:
			return
		case <-time.After(pollInterval):
		}
	}
}

// Alive tells whether the action's container runs, as it may after Cancel.
func (r *Running) Alive(ctx context.Context) bool {
	state, err := r.lab.engine.run(ctx, "inspect", "--format", "{{.State.Running}}", r.Container)
	return err == nil && state == "true"
}

func ignoreFinished(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func joinLines(lines []Line) string {
	var text strings.Builder
	for _, line := range lines {
		text.WriteString(line.Text + "\n")
	}
	return text.String()
}
