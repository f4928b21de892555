package sshtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Verb is one piece of work of a conversation, see remote.Talk.
type Verb struct {
	Name, Text string
	Results    io.Writer // its lines get the tag
	Words      io.Writer
	Closed     <-chan struct{} // its input has ended

	tag    string
	talk   *talk
	failed bool
}

// End says how it ended.
func (v *Verb) End(status int) {
	v.failed = status != 0
	v.end(strconv.Itoa(status))
}

func (v *Verb) end(how string) {
	_, _ = fmt.Fprintf(v.talk.out, "\n%s end %s\n", v.tag, how)
	_, _ = fmt.Fprintf(v.Words, "%s\n", v.tag)
}

type talk struct {
	out  io.Writer
	held map[string]chan struct{}
}

var packed = regexp.MustCompile(` bs=(\d+) `)

// Converse is the host's side of a conversation: it reads what opens it, says the line that tells
// so, and has each verb handled by a goroutine of its own, until the other side is gone.
func Converse(e *Exec, begun string, handle func(*Verb)) {
	in := bufio.NewReader(e.Channel)
	line, _ := in.ReadString('\n')
	if size := packed.FindStringSubmatch(line); size != nil {
		n, _ := strconv.ParseInt(size[1], 10, 64)
		_, _ = io.CopyN(io.Discard, in, n)
	}
	_, _ = io.WriteString(e.Channel, begun+"\n")
	t := &talk{out: e.Channel, held: map[string]chan struct{}{}}
	var verbs sync.WaitGroup
	var together []*Verb
	defer verbs.Wait()
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		words := strings.Fields(line)
		switch {
		case len(words) == 4 && words[0] == "part":
			n, _ := strconv.ParseInt(words[2], 10, 64)
			_, _ = io.CopyN(io.Discard, in, n)
		case len(words) == 4 && (words[0] == "verb" || words[0] == "first" || words[0] == "hold"):
			n, _ := strconv.ParseInt(words[2], 10, 64)
			var text strings.Builder
			_, _ = io.CopyN(&text, in, n)
			closed := make(chan struct{})
			if words[0] == "hold" {
				t.held[words[1]] = closed
			} else {
				close(closed)
			}
			v := &Verb{
				Name: words[3], Text: text.String(), Words: e.Channel.Stderr(), Closed: closed, tag: words[1], talk: t,
				Results: &tagged{w: e.Channel, tag: words[1] + " ", begin: true},
			}
			together = append(together, v)
			if words[0] == "first" {
				continue
			}
			all := together
			together = nil
			verbs.Go(func() {
				failed := false
				for _, v := range all {
					if failed {
						v.end("skipped")
						continue
					}
					handle(v)
					failed = v.failed
				}
			})
		case len(words) == 2 && words[0] == "close":
			if closed := t.held[words[1]]; closed != nil {
				close(closed)
				delete(t.held, words[1])
			}
		}
	}
	for _, closed := range t.held {
		close(closed)
	}
}

// tagged puts a tag in front of each line.
type tagged struct {
	w     io.Writer
	tag   string
	begin bool // of a line
}

func (t *tagged) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	var text []byte
	if t.begin {
		text = append(text, t.tag...)
	}
	lines := bytes.TrimSuffix(p, []byte("\n"))
	text = append(text, bytes.ReplaceAll(lines, []byte("\n"), []byte("\n"+t.tag))...)
	if t.begin = len(lines) < len(p); t.begin {
		text = append(text, '\n')
	}
	_, err := t.w.Write(text)
	return len(p), err
}
