package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Talk is a conversation with a host over one command that goes on: the loop in
// scripts/lib/talk.sh, or another one that speaks as it does. It is asked for pieces of work, each
// called a turn here, and says what they print and how they end. A turn costs one round trip, where
// a command of its own costs three.
//
// Its three streams are those of a [Command]; whoever runs that tells the end of it by [Talk.Over].
type Talk struct {
	// Joined is why it is over where both outputs come on one stream: no end would be seen.
	Joined error

	in *queue

	mu    sync.Mutex
	sent  map[string]bool // parts
	turns []*Turn         // under way, in the order in which they began
	past  []*Turn         // the last that have ended
	line  []byte          // of standard output, as far as it came
	tail  []byte          // of standard error: it may become a tag
	mute  bool            // since a turn was told to end, and did not, nothing was heard
	over  chan struct{}
	err   error // why it is over
}

// Turn is one piece of work.
type Turn struct {
	talk           *Talk
	tag            string
	held           bool
	after          *Turn // it begins when that one has ended well; nil for at once
	together       *together
	behind         *Turn // it says nothing before that one is ready; nil for none
	ready          bool  // of one that is held: see Ready
	results, words io.Writer

	ended, silent bool // its end was seen on standard output, and on standard error
	left          bool // nobody waits for it any more: what it still says is nobody's
	done          chan struct{}
	err           error
}

// together is what turns share that are done one after the other.
type together struct{ told bool } // one of them was told to end, and with it those that have not begun

// Work is what a turn is to do.
type Work struct {
	Name string
	// Text returns what the host is told, for a tag that is this turn's alone: lines on standard
	// output that begin with it are results, and go on without it.
	Text           func(tag string) ([]byte, error)
	Parts          map[string][]byte // that its Name's script needs of those that go over when they are first needed
	Hold           bool              // it has a standard input, see [Turn.Feed]
	Behind         *Turn             // that is held: words are that one's until it is ready; nil for none
	Results, Words io.Writer         // called by one goroutine each
}

// NewTalk returns a conversation in which nothing was said yet.
func NewTalk() *Talk {
	return &Talk{
		Joined: errors.New("bug in deploy-action: nobody has said what it means that the outputs are joined"),
		in:     newQueue(), over: make(chan struct{}), sent: map[string]bool{},
	}
}

// Stdin is what the host is to hear.
func (t *Talk) Stdin() io.Reader { return t.in }

// Stdout takes what the loop and all turns print.
func (t *Talk) Stdout() io.Writer { return talkOutput(t.hear) }

// Stderr takes their words.
func (t *Talk) Stderr() io.Writer { return talkOutput(t.hearWords) }

type talkOutput func([]byte)

func (o talkOutput) Write(p []byte) (int, error) {
	o(p)
	return len(p), nil
}

// Over ends the conversation: how the turns under way did is not known, for this reason.
func (t *Talk) Over(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(err)
}

func (t *Talk) end(err error) {
	if t.err != nil {
		return
	}
	t.say(t.tail)
	t.err = err
	close(t.over)
	t.in.close()
	for _, turn := range t.turns {
		turn.err = err
		close(turn.done)
	}
	t.turns = nil
}

// Done is closed when the conversation is over.
func (t *Talk) Done() <-chan struct{} { return t.over }

// Beat tells the host that this side is there.
func (t *Talk) Beat() { t.in.put("beat\n") }

// ErrSkipped is why a turn was not begun: the one before it has failed, or was told to end.
var ErrSkipped = errors.New("not begun")

// Begin sends pieces of work, and does not wait. They are done one after the other, and none after
// one that fails; what is held stands alone.
func (t *Talk) Begin(works ...Work) ([]*Turn, error) {
	var frames strings.Builder
	var turns []*Turn
	var after *Turn
	share := new(together)
	for n, w := range works {
		turn := &Turn{
			talk: t, tag: rand.Text(), held: w.Hold, after: after, together: share, behind: w.Behind,
			results: w.Results, words: w.Words, done: make(chan struct{}),
		}
		text, err := w.Text(turn.tag)
		if err != nil {
			return nil, err
		}
		kind := "verb"
		switch {
		case w.Hold:
			kind = "hold"
		case n < len(works)-1:
			kind = "first"
		}
		fmt.Fprintf(&frames, "%s %s %d %s\n%s", kind, turn.tag, len(text), w.Name, text)
		turns = append(turns, turn)
		after = turn
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return nil, t.err
	}
	t.turns = append(t.turns, turns...)
	t.in.put(t.parts(works) + frames.String())
	return turns, nil
}

// parts are the frames of what these need and the host does not have.
func (t *Talk) parts(works []Work) string {
	var frames strings.Builder
	for _, w := range works {
		for _, name := range slices.Sorted(maps.Keys(w.Parts)) {
			if !t.sent[name] {
				t.sent[name] = true
				fmt.Fprintf(&frames, "part - %d %s\n%s", len(w.Parts[name]), name, w.Parts[name])
			}
		}
	}
	return frames.String()
}

// mostLine bounds a line of results; what it has more is dropped, and is too much for those who
// read them.
const mostLine = 2 << 20

func (t *Talk) hear(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mute = false
	for len(p) > 0 {
		part, rest, found := bytes.Cut(p, []byte("\n"))
		if len(t.line) < mostLine {
			t.line = append(t.line, part...)
		}
		if found {
			t.result(string(t.line))
			t.line = t.line[:0]
		}
		p = rest
	}
}

// result takes a line of standard output. One without the tag of a turn is no result of ours: a
// program printed it, and maybe no line break behind it.
func (t *Talk) result(line string) {
	for _, turn := range t.turns {
		_, text, found := strings.Cut(line, turn.tag+" ")
		if !found && strings.HasSuffix(line, turn.tag) {
			t.end(t.Joined)
			return
		}
		if !found {
			continue
		}
		if end, ended := strings.CutPrefix(text, "end "); ended {
			turn.ended, turn.err = true, turn.endOf(end)
			t.finish(turn)
		} else if !turn.left {
			_, _ = io.WriteString(turn.results, text+"\n")
		}
		return
	}
}

// endOf reads how the turn has ended: a status as a shell has it, or that nobody there knows it. One that is
// skipped behind one that has ended well would have begun, had the loop been there to see to that.
func (u *Turn) endOf(text string) error {
	status, err := strconv.Atoi(text)
	switch {
	case text == "skipped" && u.after != nil && u.after.ended && u.after.err == nil && !u.together.told:
		return &LostError{Err: errors.New("the host ended the conversation")}
	case text == "skipped":
		return ErrSkipped
	case err != nil || status < 0 || status > 255:
		return &LostError{Started: true, Err: errors.New("the host has lost sight of it")}
	case status != 0:
		return exitOf(status)
	}
	return nil
}

// hearWords looks for the tags that end a turn's words. What may be the beginning of one waits for
// more.
func (t *Talk) hearWords(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mute = false
	text := slices.Concat(t.tail, p)
	t.tail = nil
	for len(text) > 0 {
		at, turn := len(text), (*Turn)(nil)
		for _, one := range slices.Concat(t.turns, t.past) {
			if i := bytes.Index(text, []byte(one.tag+"\n")); i >= 0 && i < at {
				at, turn = i, one
			}
		}
		if turn == nil {
			cut := t.begunTag(text)
			t.say(text[:cut])
			t.tail = bytes.Clone(text[cut:])
			return
		}
		t.say(text[:at])
		text = text[at+len(turn.tag)+1:]
		turn.silent = true
		t.finish(turn)
	}
}

// begunTag is where the end of a text may be the beginning of a tag; the text's length where it
// can't.
func (t *Talk) begunTag(text []byte) int {
	cut := len(text)
	for _, turn := range t.turns {
		for n := min(len(turn.tag), len(text)); n > 0; n-- {
			if strings.HasPrefix(turn.tag, string(text[len(text)-n:])) {
				cut = min(cut, len(text)-n)
				break
			}
		}
	}
	return cut
}

func (t *Talk) say(text []byte) {
	if speaker := t.speaker(); speaker != nil && len(text) > 0 {
		_, _ = speaker.words.Write(text)
	}
}

// speaker is whose words come by now: of the turn that began last, and is not one that waits for
// what it is fed; nil when there is none.
func (t *Talk) speaker() *Turn {
	var waits *Turn
	for _, turn := range slices.Backward(t.turns) {
		switch {
		case turn.silent || turn.left || turn.after != nil && !turn.after.silent:
		case turn.behind != nil && !turn.behind.ready && !turn.behind.silent:
		case !turn.held:
			return turn
		case waits == nil:
			waits = turn
		}
	}
	return waits
}

// mostPast are as many as may end before somebody notices that who was to tell so is gone.
const mostPast = 8

func (t *Talk) finish(turn *Turn) {
	if !turn.ended || !turn.silent || !slices.Contains(t.turns, turn) {
		return
	}
	t.turns = slices.DeleteFunc(t.turns, func(one *Turn) bool { return one == turn })
	t.past = append(t.past[max(0, len(t.past)-mostPast+1):], turn)
	close(turn.done)
}

// exitOf reads a status as a shell has it.
func exitOf(status int) *ExitError {
	exit := &ExitError{Code: status}
	for name, number := range signalNumbers {
		if status == 128+number {
			exit.Signal = string(name)
		}
	}
	return exit
}

// Done is closed when Wait would return at once.
func (u *Turn) Done() <-chan struct{} { return u.done }

// Wait returns how the turn ended, as [Client.Run] does for a command. When ctx ends first the turn
// is told to end, and is not waited for much longer; not at all where the host has been silent since
// another one was. Where the cause is an [ErrLeave] it is not told, and goes on.
func (u *Turn) Wait(ctx context.Context) error {
	select {
	case <-u.done:
		return u.err
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), ErrLeave) {
		u.talk.mu.Lock()
		defer u.talk.mu.Unlock()
		u.left = true
		return interrupted(ctx, &LostError{Started: true, Err: ErrLeave})
	}
	grace := time.After(u.talk.grace(u))
	for waits := true; waits; {
		u.talk.in.put("end " + u.tag + "\n") // over and over: one that is just beginning may miss it
		select {
		case <-u.done:
			return interrupted(ctx, u.err)
		case <-time.After(endAgain):
		case <-grace:
			waits = false
		}
	}
	u.talk.mu.Lock()
	defer u.talk.mu.Unlock()
	u.left, u.talk.mute = true, true
	return interrupted(ctx, &LostError{
		Started: true, Err: fmt.Errorf("it may still run: no end seen within %s of signal TERM", stopGrace),
	})
}

const endAgain = 100 * time.Millisecond

// grace is how long a turn has to end that is told to from now on.
func (t *Talk) grace(u *Turn) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	u.together.told = true
	if t.mute {
		return 0
	}
	return stopGrace
}

// Feed sends a line to the standard input of a turn that is held.
func (u *Turn) Feed() { u.talk.in.put("feed " + u.tag + "\n") }

// Ready says that what a turn that is held was begun for has come about, as far as its words go: see
// [Work.Behind].
func (u *Turn) Ready() {
	u.talk.mu.Lock()
	defer u.talk.mu.Unlock()
	u.ready = true
}

// Close ends that standard input.
func (u *Turn) Close() { u.talk.in.put("close " + u.tag + "\n") }

// queue is what waits to be sent: putting something into it does not wait for the host.
type queue struct {
	mu     sync.Mutex
	more   *sync.Cond
	text   bytes.Buffer
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.more = sync.NewCond(&q.mu)
	return q
}

func (q *queue) put(text string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.text.WriteString(text)
	}
	q.more.Signal()
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
}

func (q *queue) Read(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.text.Len() == 0 && !q.closed {
		q.more.Wait()
	}
	if q.text.Len() == 0 {
		return 0, io.EOF
	}
	return q.text.Read(p)
}
