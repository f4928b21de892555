package sshtest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// RefusedLine is the one command that a [Server] refuses to start.
const RefusedLine = "refuse"

// Exec is one command that a client asked for.
type Exec struct {
	Context context.Context // ends with the connection
	Conn    ssh.Conn
	Line    string
	Channel ssh.Channel // standard input and output, and Stderr()
	Signals <-chan string
}

// Status tells the client how the command ended; the channel stays open.
func (e *Exec) Status(code uint32) {
	_, _ = e.Channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
}

// Killed tells the client which signal ended the command, without SIG.
func (e *Exec) Killed(signal string) {
	_, _ = e.Channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
		Signal     string
		CoreDumped bool
		Message    string
		Language   string
	}{Signal: signal}))
}

// session serves one channel; the channel is closed when Handle returns.
func (s *Server) session(ctx context.Context, conn ssh.Conn, ch ssh.Channel, requests <-chan *ssh.Request) {
	signals := make(chan string, 8)
	var handler sync.WaitGroup
	for req := range requests {
		var payload struct{ Text string }
		known := ssh.Unmarshal(req.Payload, &payload) == nil
		switch {
		case req.Type == "exec" && known && payload.Text != RefusedLine:
			_ = req.Reply(true, nil)
			handler.Go(func() {
				s.opts.Handle(&Exec{Context: ctx, Conn: conn, Line: payload.Text, Channel: ch, Signals: signals})
				_ = ch.Close()
			})
			continue
		case req.Type == "subsystem" && known && s.opts.Subsystem != nil:
			_ = req.Reply(true, nil)
			handler.Go(func() {
				s.opts.Subsystem(&Exec{Context: ctx, Conn: conn, Line: payload.Text, Channel: ch, Signals: signals})
				_ = ch.Close()
			})
			continue
		case req.Type == "signal" && known:
			select {
			case signals <- payload.Text:
			default:
			}
		}
		if req.WantReply {
			_ = req.Reply(false, nil)
		}
	}
	handler.Wait()
}

var signalNumbers = map[string]syscall.Signal{
	"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

var signalNames = map[syscall.Signal]string{
	syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM",
	syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2",
}

// Shell runs the line in bash and behaves as sshd does: signals reach the
// process group, the exit status goes out as soon as the shell has ended, and
// the channel is closed when nobody holds its output any more.
func Shell(e *Exec) {
	cmd := exec.CommandContext(e.Context, "/bin/bash", "-c", e.Line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd, syscall.SIGKILL) }
	stdin, errIn := cmd.StdinPipe()
	var outputs sync.WaitGroup
	stdout, errOut := pipeTo(e.Channel, &outputs)
	stderr, errErr := pipeTo(e.Channel.Stderr(), &outputs)
	if errors.Join(errIn, errOut, errErr) != nil {
		return
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Start()
	_ = stdout.Close()
	_ = stderr.Close()
	if err != nil {
		e.Status(127)
		return
	}
	go func() {
		_, _ = io.Copy(stdin, e.Channel)
		_ = stdin.Close()
	}()
	exited := make(chan struct{})
	go func() {
		for {
			select {
			case name := <-e.Signals:
				_ = killGroup(cmd, signalNumbers[name])
			case <-exited:
				return
			}
		}
	}()
	_ = cmd.Wait()
	close(exited)
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Killed(signalNames[status.Signal()])
	} else {
		e.Status(uint32(cmd.ProcessState.ExitCode()))
	}
	closed := make(chan struct{})
	go func() { outputs.Wait(); close(closed) }()
	select {
	case <-closed:
	case <-e.Context.Done():
	}
}

func killGroup(cmd *exec.Cmd, signal syscall.Signal) error {
	if signal == 0 {
		return nil
	}
	return syscall.Kill(-cmd.Process.Pid, signal)
}

// pipeTo returns the writing end of a pipe that is copied to w.
func pipeTo(w io.Writer, copies *sync.WaitGroup) (*os.File, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	copies.Go(func() {
		_, _ = io.Copy(w, reader)
		_ = reader.Close()
	})
	return writer, nil
}
