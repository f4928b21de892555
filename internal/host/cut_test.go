package host

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// A run may be cancelled while the ends of several verbs are on their way: each that the host has not
// called skipped may have begun, and is for somebody to take back.
func TestWhatHasBegunIsKnownHoweverFarTheHostHasCome(t *testing.T) {
	talk := remote.NewTalk()
	h := New(Options{
		Address: remote.Host{User: "ubuntu", Name: "web-1", Port: 22}, Token: "7-x",
		Report: report.New(io.Discard, func(string) string { return "" }),
		Values: func() scripts.Values { return scripts.Values{"path": "/srv"} },
	})
	h.shell = &sshShell{talk: talk}
	tags := map[string]string{}
	sent, told := make(chan struct{}), make(chan struct{}, 100)
	go func() {
		in := bufio.NewReader(talk.Stdin())
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			words := strings.Fields(line)
			if words[0] == "end" {
				told <- struct{}{}
				continue
			}
			var size int64
			if _, err := fmt.Sscan(words[2], &size); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, in, size); err != nil {
				return
			}
			if words[0] != "part" {
				tags[words[3]] = words[1]
			}
			if words[0] == "verb" { // the last of them
				close(sent)
			}
		}
	}()
	end := func(verb, how string) {
		_, _ = fmt.Fprintf(talk.Stdout(), "%s end %s\n", tags[verb], how)
		_, _ = fmt.Fprintf(talk.Stderr(), "%s\n", tags[verb])
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.BeginStep("1-setup")
	for _, next := range []struct {
		step string
		verb scripts.Verb
	}{{"2-fetch", scripts.Fetch}, {"3-build", scripts.Build}, {"4-start", scripts.Start}, {"5-health", scripts.Health}} {
		h.Ahead(next.step, next.verb, nil)
	}
	go func() {
		<-sent
		end("setup", "0")
	}()
	if _, err := h.Exec(ctx, scripts.Setup, nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	go func() {
		<-told // on its way to the host, which has come further by now
		end("fetch", "0")
		end("build", "0")
		end("start", "143")
		end("health", "skipped")
	}()
	h.BeginStep("2-fetch")
	_, err := h.Exec(ctx, scripts.Fetch, nil)
	if begun := h.DropAhead(); err == nil || !slices.Equal(begun, []string{"3-build", "4-start"}) {
		t.Errorf("%v; begun: %v", err, begun)
	}
}
